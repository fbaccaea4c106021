"""`low-rank` as plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_optim.techniques.low_rank_factors import SHRINKAGE, WIDE


def source(ranks: Mapping[str, int], *, by_inputs: bool) -> str:
    """Source that factors the layers of a variable ``model``; by their inputs, it needs ``example_inputs``, too."""
    capture = _CAPTURE if by_inputs else ""
    weighted = _WEIGHTED if by_inputs else ""
    shifted = (
        "        if layer.bias is not None and count:\n"
        "            bias = bias + (weight - back @ into) @ (total / count)\n"
        if by_inputs
        else ""
    )
    return f"""\
import torch
from torch import nn

ranks = {dict(ranks)!r}
{capture}

def factored(layer, rank, count=0, total=None, products=None):
    conv, transposed = isinstance(layer, nn.Conv2d), type(layer).__name__ == "Conv1D"
    weight = (layer.weight.detach().T if transposed else layer.weight.detach().flatten(1)).double()
    bias = None if layer.bias is None else layer.bias.detach().double()
    matrix, covariance = weight, None
{weighted}    if len(weight) <= weight.shape[1]:
        squares = (weight if covariance is None else weight @ covariance) @ weight.T
    else:
        matrix = {"weight if covariance is None else weight @ root(covariance)" if by_inputs else "weight"}
        squares = matrix.T @ matrix
    energies, back = torch.linalg.eigh(squares.float() if len(squares) > {WIDE} else squares)
    energies, back = energies.double().flip(0).clamp_min(0), back.double().flip(1)
    if len(squares) < len(matrix):
        scales = energies.sqrt()
        back = (matrix @ back) * torch.where(scales > 1e-5 * scales[0], 1 / scales, 0.0)
    back = back[:, :rank]
    into = back.T @ weight
    kind, size = (nn.Conv2d, (1,)) if conv else (nn.Linear, ())
    made = dict(device=layer.weight.device, dtype=layer.weight.dtype)
    first = kind(into.shape[1], len(into), *size, bias=False, **made)
    second = kind(len(into), len(back), *size, bias=bias is not None, **made)
    with torch.no_grad():
        first.weight.copy_(into.reshape(first.weight.shape))
        second.weight.copy_(back.reshape(second.weight.shape))
{shifted}        if bias is not None:
            second.bias.copy_(bias)
    return nn.Sequential(first, second).train(layer.training)


for path, rank in ranks.items():
    pair = factored(model.get_submodule(path), rank{", *moments[path]" if by_inputs else ""})
    parent, _, name = path.rpartition(".")
    if path:
        setattr(model.get_submodule(parent), name, pair)
    else:
        model = pair
"""


_CAPTURE = """

def root(covariance):
    found = torch.linalg.cholesky_ex(covariance)
    if not found.info:
        return found.L
    values, vectors = torch.linalg.eigh(covariance)  # inputs of few directions: it is singular, but for rounding
    return vectors * values.clamp_min(0).sqrt()


moments = {path: [0, 0.0, 0.0] for path in ranks}


def watch(path):
    def note(layer, inputs):
        rows = inputs[0].movedim(-3, -1) if isinstance(layer, nn.Conv2d) else inputs[0]
        rows = rows.detach().reshape(-1, rows.shape[-1]).float()
        seen = moments[path]
        seen[0] += len(rows)
        total = rows.double().sum(0)
        mean = (total / max(1, len(rows))).float()
        rows = rows - mean  # next to a large mean, products in float32 would lose the rest
        across = torch.outer(mean.double(), rows.double().sum(0))
        products = (rows.T @ rows).double() + across + across.T
        seen[1] = seen[1] + total
        seen[2] = seen[2] + products + torch.outer(mean.double(), mean.double()) * len(rows)

    return model.get_submodule(path).register_forward_pre_hook(note)


handles = [watch(path) for path in ranks]
with torch.no_grad():  # example_inputs: a tuple of the model's inputs, or a dict
    model(**example_inputs) if isinstance(example_inputs, dict) else model(*example_inputs)
for handle in handles:
    handle.remove()
"""

_WEIGHTED = f"""\
    mean, size = total / count, len(total)
    covariance = products / count - torch.outer(mean, mean)
    amount = min(1.0, {SHRINKAGE} * size / count)  # few rows say little about directions
    spread = covariance.diagonal().mean() * amount + 1e-12
    covariance = covariance * (1 - amount) + torch.eye(size, dtype=torch.float64, device=mean.device) * spread
"""
