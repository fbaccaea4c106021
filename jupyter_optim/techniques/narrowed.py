"""Layers that have lost channels, as data: what each is now, and how an original one is made so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_WIDTHS = (
    "in_features",
    "out_features",
    "in_channels",
    "out_channels",
    "groups",
    "num_features",
    "num_parameters",
    "nf",  # of the Conv1D of transformers
    "nx",
)


def narrowed(before: nn.Module, after: nn.Module) -> dict[str, dict[str, Any]]:
    """By path of each module whose tensors changed their shapes: its ``widths``, and the ``shapes`` of its tensors."""
    former = dict(before.named_modules())
    found: dict[str, dict[str, Any]] = {}
    for path, module in after.named_modules():
        shapes = _shapes(module)
        if shapes != _shapes(former[path]):
            widths = {
                name: getattr(module, name)
                for name in _WIDTHS
                if isinstance(getattr(module, name, None), int)
            }
            found[path] = {"widths": widths, "shapes": shapes}
    return found


def narrow_(model: nn.Module, layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the modules of `layers` those widths, and tensors of those shapes, whose contents mean nothing.

    Raises:
        ValueError: a tensor would not get smaller, or has another number of dimensions.
        KeyError: there is no such module or tensor.
    """
    modules = dict(model.named_modules())
    for path, layer in layers.items():
        module = modules[path]
        for name, width in layer["widths"].items():
            if name not in _WIDTHS or not isinstance(width, int):
                raise ValueError(f"`{path}` has no width {name!r}")
            setattr(module, name, width)
        for name, shape in layer["shapes"].items():
            is_parameter = module._parameters.get(name) is not None
            registry: dict[str, Any] = module._parameters if is_parameter else module._buffers
            former: torch.Tensor = registry[name]
            if len(shape) != former.dim() or not all(
                0 <= a <= b for a, b in zip(shape, former.shape, strict=True)
            ):
                raise ValueError(f"`{path}.{name}` of shape {list(former.shape)} cannot be cut to {shape}")
            made = torch.zeros(shape, dtype=former.dtype, device=former.device)
            registry[name] = nn.Parameter(made, former.requires_grad) if is_parameter else made


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    tensors = {**module._parameters, **module._buffers}
    return {name: list(tensor.shape) for name, tensor in tensors.items() if tensor is not None}
