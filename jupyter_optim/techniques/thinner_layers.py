"""Layers with the channels that pruning would leave, to time them beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def width_left(width: int, options: Mapping[str, Any]) -> int:
    """How many of `width` channels are left, rounded as the options say."""
    step = int(options["round_to"])
    return max(step, round(width * (1 - options["ratio"]) / step) * step) if width > step else width


def width_of(module: nn.Module) -> int:
    """Channels that a layer gives; 0 if it has no such number."""
    return int(getattr(module, "out_features", 0) or getattr(module, "out_channels", 0))


def thinner(module: nn.Module, options: Mapping[str, Any], *, head: bool) -> nn.Module | None:
    """A layer of random weights with the channels that would be left, which takes the first ones of its inputs."""
    made: nn.Module
    if isinstance(module, nn.Linear):
        width, out = (
            width_left(module.in_features, options),
            module.out_features if head else width_left(module.out_features, options),
        )
        made = nn.Linear(width, out, module.bias is not None)
    elif isinstance(module, CONVOLUTIONS):
        first = module.in_channels <= 4
        width = module.in_channels if first else width_left(module.in_channels, options)
        out = module.out_channels if head else width_left(module.out_channels, options)
        groups = width if module.groups > 1 else 1
        made = type(module)(
            width, width if groups > 1 else out, module.kernel_size, module.stride, module.padding,  # type: ignore[arg-type]
            module.dilation, groups, module.bias is not None, module.padding_mode,  # type: ignore[arg-type]
        )  # fmt: skip
    else:
        return None
    made = made.to(device=next(module.parameters()).device, dtype=next(module.parameters()).dtype)
    return _Narrowed(made, width, -1 if isinstance(module, nn.Linear) else 1)


class _Narrowed(nn.Module):
    """Feeds a layer the first channels of an input made once, so that cutting them is not timed."""

    def __init__(self, layer: nn.Module, width: int, dim: int) -> None:
        super().__init__()
        self.layer, self.width, self.dim = layer, width, dim
        self.input: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.input is None:
            format = torch.preserve_format if x.is_contiguous() else torch.channels_last  # noqa: A001
            self.input = x.narrow(self.dim, 0, self.width).clone(memory_format=torch.contiguous_format)
            if format is torch.channels_last and x.dim() == 4:
                self.input = self.input.contiguous(memory_format=format)
        out: torch.Tensor = self.layer(self.input)
        return out
