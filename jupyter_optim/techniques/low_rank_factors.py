"""A matrix as the product of two thinner ones, as near as possible on the inputs that it gets.

With outputs ``y = W x`` and the covariance C of the inputs, the best rank r is ``U U^T W``, where U holds the r
principal directions of the outputs, the leading eigenvectors of ``W C W^T``; what is left out counts by its mean, in
the bias (Yu and Wu, "Compressing Transformers: Features Are Low-Rank, but Weights Are Not!", AAAI 2023; the same
error as SVD-LLM's, arXiv 2403.07378, and no inverse is needed). With C = 1 this is the truncated SVD of W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from jupyter_optim.techniques.input_moments import Moments
from jupyter_optim.techniques.matrices import matrix_of

SHRINKAGE = 0.02
"""How much of the covariance of as many rows as channels is replaced by its mean diagonal; less of more rows."""


WIDE = 1024
"""More inputs and outputs than this: their directions are computed in float32."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Principal directions of a layer's outputs."""

    directions: torch.Tensor
    """Shape (outputs, rank at most), the largest first; float64."""
    energies: torch.Tensor
    """Variance of the outputs in each direction, the largest first."""

    def rank_for(self, energy: float, round_to: int) -> int:
        """The smallest rank that keeps this fraction of the energy, rounded up to a multiple of `round_to`."""
        kept = self.energies.cumsum(0) / self.energies.sum().clamp_min(1e-300)
        rank = int((kept < energy).sum()) + 1
        return -(-rank // round_to) * round_to


def spectrum(weight: torch.Tensor, moments: Moments | None) -> Spectrum:
    """Of a weight of shape (outputs, inputs); without moments, as if all inputs were alike."""
    matrix, squares = _squares(weight.double(), None if moments is None else _shrunk(moments))
    if len(squares) > WIDE:
        squares = squares.float()
    energies, directions = (each.double().flip(-1) for each in torch.linalg.eigh(squares))
    energies = energies.clamp_min(0)
    if len(squares) < len(matrix):
        # what has next to no energy has no direction either
        scales = energies.sqrt()
        directions = (matrix @ directions) * torch.where(scales > 1e-5 * scales[0], 1 / scales, 0.0)
    return Spectrum(directions, energies)


def quick_rank(weight: torch.Tensor, moments: Moments | None, energy: float, round_to: int) -> int:
    """About the rank that `spectrum` would give, in float32 and without the directions: a fraction of the time."""
    covariance = None if moments is None else _shrunk(moments).float()
    energies = torch.linalg.eigvalsh(_squares(weight.float(), covariance)[1]).double().flip(-1).clamp_min(0)
    return Spectrum(energies.new_empty(0), energies).rank_for(energy, round_to)


def _squares(
    weight: torch.Tensor, covariance: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """A matrix M with ``M M^T = W C W^T``, and the smaller one of ``M M^T`` and ``M^T M``."""
    outputs, inputs = weight.shape
    if outputs <= inputs:
        # no root of C is needed
        return weight, (weight if covariance is None else weight @ covariance) @ weight.T
    matrix = weight if covariance is None else weight @ _root(covariance)
    return matrix, matrix.T @ matrix


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """A matrix L with ``L L^T`` equal to `covariance`, which may have lost rank, or a little more by rounding."""
    found = torch.linalg.cholesky_ex(covariance)
    if not found.info:
        lower: torch.Tensor = found.L
        return lower
    parts = torch.linalg.eigh(covariance)
    root: torch.Tensor = parts.eigenvectors * parts.eigenvalues.clamp_min(0).sqrt()
    return root


def _shrunk(moments: Moments) -> torch.Tensor:
    """The covariance, towards what is known of no input: few rows say little about directions."""
    covariance = moments.covariance
    channels = len(covariance)
    amount = min(1.0, SHRINKAGE * channels / max(1, moments.rows))
    eye = torch.eye(channels, dtype=covariance.dtype, device=covariance.device)
    spread = covariance.diagonal().mean() * amount + 1e-12
    return covariance * (1 - amount) + eye * spread


def factored(module: nn.Module, rank: int, found: Spectrum, moments: Moments | None) -> nn.Sequential:
    """Two layers whose product is the module's weight at `rank`: Linears, or 1x1 convolutions for one."""
    weight = matrix_of(module).double()
    back = found.directions[:, :rank]
    into = back.T @ weight
    bias = module._parameters.get("bias")
    shift = None if bias is None else bias.detach().double()
    if shift is not None and moments is not None:
        shift = shift + (weight - back @ into) @ moments.mean
    return _two_layers(module, into, back, shift)


def any_pair(module: nn.Module, rank: int) -> nn.Sequential:
    """Two layers like those of `factored`, with weights that mean nothing: their times depend on the rank alone."""
    weight = matrix_of(module)
    outputs, inputs = weight.shape
    one = torch.full((1, 1), 0.01, dtype=torch.float64, device=weight.device)
    bias = module._parameters.get("bias")
    return _two_layers(module, one.expand(rank, inputs), one.expand(outputs, rank), bias)


def _two_layers(
    module: nn.Module, into: torch.Tensor, back: torch.Tensor, bias: torch.Tensor | None
) -> nn.Sequential:
    former = module._parameters["weight"]
    assert former is not None
    rank, inputs = into.shape
    first: nn.Linear | nn.Conv2d
    second: nn.Linear | nn.Conv2d
    if isinstance(module, nn.Conv2d):
        first = nn.Conv2d(inputs, rank, 1, bias=False)
        second = nn.Conv2d(rank, len(back), 1, bias=bias is not None)
    else:
        first = nn.Linear(inputs, rank, bias=False)
        second = nn.Linear(rank, len(back), bias=bias is not None)
    pair = nn.Sequential(first, second).to(device=former.device, dtype=former.dtype)
    with torch.no_grad():
        first.weight.copy_(into.reshape(first.weight.shape))
        second.weight.copy_(back.reshape(second.weight.shape))
        if bias is not None and second.bias is not None:
            second.bias.copy_(bias)
    for parameter in pair.parameters():
        parameter.requires_grad_(former.requires_grad)
    return pair
