"""Layers that hold their weights in 8 or 4 bits and compute with floating-point numbers.

This file needs torch alone: the techniques give it to the user as it stands, as the source of what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

FEW_ROWS = 8
"""Up to here a matrix product waits for its weights, and torch's kernel for packed int8 is the fastest."""

SHRINK_STEPS = 12
"""Ranges that are tried for each 4-bit group, each 4% narrower than the one before."""

CHUNK_ROWS = 4096


def grouped(weight: torch.Tensor, group: int) -> torch.Tensor:
    """`weight`, shape (rows, columns), as (rows, groups, `group`); the last column fills up the last group."""
    columns = weight.shape[1]
    missing = -columns % group
    if missing:
        weight = torch.cat((weight, weight[:, -1:].expand(-1, missing)), 1)
    return weight.reshape(len(weight), -1, group)


def int8_codes(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric codes of shape (rows, groups, group), and their scales of shape (rows, groups)."""
    scales = (groups.abs().amax(-1) / 127).clamp_min(1e-12)
    return (groups / scales[..., None]).round_().to(torch.int8), scales


def int4_codes(
    groups: torch.Tensor, importance: torch.Tensor | None = None, steps: int = SHRINK_STEPS
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes from 0 to 15, two a byte, with scales and lowest values of shape (rows, groups) in bfloat16.

    The range of each group is narrowed as long as its squared error falls; as in AWQ (Lin et al., arXiv 2306.00978)
    a column counts as much as what it is multiplied with.

    Args:
        groups: weights, shape (rows, groups, group).
        importance: mean squares of the inputs, shape (1, groups, group), or None where all count the same.
        steps: how many ranges to try; 1 takes the whole range.
    """
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    error, codes, scales, lows = _int4_try(groups, low, high, importance)
    for step in range(1, steps):
        kept = 1 - 0.04 * step
        other = _int4_try(groups, low * kept, high * kept, importance)
        better = other[0] < error
        error, codes = torch.where(better, other[0], error), torch.where(better, other[1], codes)
        scales, lows = torch.where(better, other[2], scales), torch.where(better, other[3], lows)
    half = codes.shape[-1] // 2
    codes = codes.to(torch.uint8)
    packed = codes[..., :half] | (codes[..., half:] << 4)
    return packed, scales.squeeze(-1).bfloat16(), lows.squeeze(-1).bfloat16()


def _int4_try(
    groups: torch.Tensor, low: torch.Tensor, high: torch.Tensor, importance: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Squared error, codes, scale and lowest value of each group for the range from `low` to `high`."""
    # in the precision in which they are kept
    scale = ((high - low) / 15).clamp_min(1e-12).bfloat16().float()
    least = low.bfloat16().float()
    codes = ((groups - least) / scale).round_().clamp_(0, 15)
    error = (codes * scale + least - groups).square_()
    if importance is not None:
        error *= importance
    return error.sum(-1, keepdim=True), codes, scale, least


def input_squares(layers: Mapping[str, nn.Module], call: Callable[[], object]) -> dict[str, torch.Tensor]:
    """Mean squares of the inputs of each of `layers` during `call`, shape (in_features,), by path."""
    paths = {layer: path for path, layer in layers.items()}
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        path = paths.get(module)
        if path is None or not args or args[0].numel() == 0:
            return
        rows = args[0].detach().reshape(-1, args[0].shape[-1]).float()
        sums[path] = sums.get(path, 0) + rows.square().sum(0)
        counts[path] = counts.get(path, 0) + len(rows)

    handle = register_module_forward_pre_hook(note)
    try:
        call()
    finally:
        handle.remove()
    return {path: total / counts[path] for path, total in sums.items()}


class PackedWeight(nn.Module):
    """A matrix in 8 or 4 bits, in buffers.

    Args:
        weight: floating-point numbers, shape (rows, columns); not changed.
        bits: 8 or 4.
        group: columns that share a scale; 0 for the whole row.
        importance: mean squares of what each column is multiplied with, or None; for 4 bits.
        steps: see `int4_codes`.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    lows: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor, bits: int = 8, group: int = 0, importance: torch.Tensor | None = None,
        steps: int = SHRINK_STEPS,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rows, self.columns = weight.shape
        self.bits, self.dtype = bits, weight.dtype
        even = self.columns + self.columns % 2
        self.group = min(group, even) if group else (self.columns if bits == 8 else even)
        if importance is not None:
            importance = grouped(importance.float().reshape(1, -1), self.group)
        parts = []
        for chunk in weight.detach().split(CHUNK_ROWS):
            groups = grouped(chunk.float(), self.group)
            parts.append(int8_codes(groups) if bits == 8 else int4_codes(groups, importance, steps))
        made = [torch.cat(each) for each in zip(*parts, strict=True)]
        self.register_buffer("codes", made[0])
        self.register_buffer("scales", made[1].to(weight.dtype) if bits == 8 else made[1])
        self.register_buffer("lows", made[2] if bits == 4 else None)
        self.shares_codes = False

    def share(self, other: Self) -> None:
        """Hold the very tensors of `other`, as tied layers do."""
        self.codes, self.scales, self.lows = other.codes, other.scales, other.lows
        self.shares_codes = True

    def values(self, dtype: torch.dtype, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """The numbers that stand for the weights, shape (rows, columns).

        Args:
            dtype: their type.
            chosen: numbers of the rows that are wanted, or None for all.
        """
        codes, scales, lows = self.codes, self.scales, self.lows
        if chosen is not None:
            codes, scales = codes.index_select(0, chosen), scales.index_select(0, chosen)
            lows = None if lows is None else lows.index_select(0, chosen)
        if lows is None:
            made = codes.to(dtype).mul_(scales.to(dtype)[..., None])
        else:
            halves = torch.stack((codes & 15, codes >> 4), 2).flatten(2)
            made = halves.to(dtype).mul_(scales.to(dtype)[..., None]).add_(lows.to(dtype)[..., None])
        return made.flatten(1)[:, : self.columns]

    @property
    def weight(self) -> torch.Tensor:
        """The weights as floating-point numbers, shape (rows, columns), for code that reads them itself."""
        return self.values(self.dtype)

    def packed_bytes(self) -> int:
        """Bytes outside of the buffers: none."""
        return 0

    def packed_parameters(self) -> int:
        """Weights that it holds; a bias counts too. Tied layers count once."""
        bias = getattr(self, "bias", None)
        own = 0 if self.shares_codes else self.rows * self.columns
        return own + (0 if bias is None else bias.numel())

    def extra_repr(self) -> str:
        per = "row" if self.group >= self.columns else f"{self.group} columns"
        return f"{self.rows}, {self.columns}, {self.bits} bits, a scale for each {per}"


class PackedLinear(PackedWeight):
    """``y = x W^T + b`` with W in 8 or 4 bits, computed in `compute`, or in the type of x if that is None.

    Args:
        linear: a floating-point layer, not changed.
        bits, group, importance, steps: see `PackedWeight`.
        compute: type of the multiplication.
    """

    bias: torch.Tensor | None

    def __init__(
        self, linear: nn.Linear, bits: int = 8, group: int = 0, importance: torch.Tensor | None = None,
        steps: int = SHRINK_STEPS, compute: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(linear.weight, bits, group, importance, steps)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.compute = compute
        bias = linear._parameters["bias"]
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as `nn.Linear`: (..., in_features) to (..., out_features)."""
        dtype = self.compute or x.dtype
        if self.scales.shape[1] == 1 and self.lows is None:
            y = self._by_row(x.to(dtype)).to(x.dtype) * self.scales.flatten().to(x.dtype)
        else:
            y = nn.functional.linear(x.to(dtype), self.values(dtype)).to(x.dtype)
        return y if self.bias is None else y + self.bias

    def _by_row(self, x: torch.Tensor) -> torch.Tensor:
        """The product with the bare codes: a scale for each row of the weights is one for each output."""
        codes = self.codes.flatten(1)
        few = 0 < x.numel() <= FEW_ROWS * self.columns and not (torch.is_grad_enabled() and x.requires_grad)
        # the kernel reads past the end of other shapes, and faults on weights that begin elsewhere (torch 2.13)
        fits = self.columns % 32 == 0 and self.rows % 32 == 0 and codes.data_ptr() % 64 == 0
        if few and fits and x.dtype is torch.bfloat16 and x.device.type == "cpu":
            ones = torch.ones(self.rows, dtype=x.dtype)
            flat = x.reshape(-1, self.columns).contiguous()
            product: torch.Tensor = torch.ops.aten._weight_int8pack_mm(flat, codes, ones)  # noqa: SLF001 (its only name)
            return product.view(*x.shape[:-1], self.rows)
        return nn.functional.linear(x, codes.to(x.dtype))


class PackedEmbedding(PackedWeight):
    """`nn.Embedding` with its rows in 8 or 4 bits; those that are asked for become floating-point numbers.

    Args:
        embedding: a floating-point layer without ``max_norm``, not changed.
        bits, group, steps: see `PackedWeight`.
    """

    def __init__(
        self, embedding: nn.Embedding, bits: int = 8, group: int = 0, steps: int = SHRINK_STEPS
    ) -> None:
        super().__init__(embedding.weight, bits, group, steps=steps)
        self.num_embeddings, self.embedding_dim = embedding.num_embeddings, embedding.embedding_dim
        self.padding_idx = embedding.padding_idx

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Shapes as `nn.Embedding`: (...) to (..., embedding_dim)."""
        return self.values(self.dtype, ids.reshape(-1)).view(*ids.shape, self.columns)


class PackedEmbeddingBag(PackedWeight):
    """`nn.EmbeddingBag` with its rows in 8 or 4 bits.

    Args:
        bag: a floating-point layer without ``max_norm``, not changed.
        bits, group, steps: see `PackedWeight`.
    """

    def __init__(
        self, bag: nn.EmbeddingBag, bits: int = 8, group: int = 0, steps: int = SHRINK_STEPS
    ) -> None:
        super().__init__(bag.weight, bits, group, steps=steps)
        self.num_embeddings, self.embedding_dim = bag.num_embeddings, bag.embedding_dim
        self.padding_idx, self.mode = bag.padding_idx, bag.mode
        self.include_last_offset = bag.include_last_offset

    def forward(
        self, input: torch.Tensor, offsets: torch.Tensor | None = None,  # noqa: A002 (as nn.EmbeddingBag has it)
        per_sample_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Shapes as `nn.EmbeddingBag`: bags of ids to (bags, embedding_dim)."""
        flat = input.reshape(-1)
        rows = self.values(self.dtype, flat)
        places = torch.arange(len(flat), device=flat.device, dtype=flat.dtype)
        padding = None
        if self.padding_idx is not None:
            padding = len(flat)
            places = places.masked_fill(flat == self.padding_idx, padding)
            rows = torch.cat((rows, rows.new_zeros(1, self.columns)))
        return nn.functional.embedding_bag(
            places.view(input.shape), rows, offsets, mode=self.mode, per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset, padding_idx=padding,
        )  # fmt: skip


def packed_layer(layer: nn.Module, bits: int, group: int, *, importance: torch.Tensor | None = None,
                 steps: int = SHRINK_STEPS, compute: torch.dtype | None = None) -> PackedWeight:  # fmt: skip
    """The packed form of a Linear, Embedding or EmbeddingBag."""
    if isinstance(layer, nn.Embedding):
        return PackedEmbedding(layer, bits, group, steps)
    if isinstance(layer, nn.EmbeddingBag):
        return PackedEmbeddingBag(layer, bits, group, steps)
    assert isinstance(layer, nn.Linear)  # there are no others
    return PackedLinear(layer, bits, group, importance, steps, compute)
