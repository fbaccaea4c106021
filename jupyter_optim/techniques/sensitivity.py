"""Which layers lose most when they are quantized, found in one call of the live model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim.techniques.subject import Layer, Subject

_OUTLIERS = 32


@dataclass(slots=True)
class Sensitivity:
    """What one Linear got as inputs, and what quantizing it does to its outputs."""

    maxima: torch.Tensor
    """Largest magnitude of each input channel, shape (in_features,)."""
    noise: float = 0.0
    signal: float = 0.0

    @property
    def error(self) -> float:
        """Squared error of its outputs over their squares."""
        return self.noise / self.signal if self.signal else 0.0

    def outliers(self) -> list[int]:
        """Numbers of the channels with the largest values: 32, or a quarter of a small layer's."""
        return sorted(self.maxima.topk(min(_OUTLIERS, len(self.maxima) // 4)).indices.tolist())


def sensitivities(
    subject: Subject, layers: Iterable[Layer], quantized: Mapping[str, nn.Module]
) -> dict[str, Sensitivity]:
    """Call the live model once; by path, how each of its Linear `layers` fares beside its `quantized` form."""
    paths = {layer.module: layer.path for layer in layers if isinstance(layer.module, nn.Linear)}
    seen: dict[str, Sensitivity] = {}

    def note(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        path = paths.get(module)  # type: ignore[call-overload]
        if path is None or not args or args[0].numel() == 0:
            return
        rows = args[0].detach().reshape(-1, args[0].shape[-1])
        maxima = rows.abs().amax(0)
        each = seen.setdefault(path, Sensitivity(maxima))
        each.maxima = torch.maximum(each.maxima, maxima)
        with torch.no_grad():
            exact = output.detach().reshape(-1, output.shape[-1])
            each.noise += float((quantized[path](rows) - exact).square().sum())
            each.signal += float(exact.square().sum())

    handle = hooks.register_module_forward_hook(note)
    try:
        subject.workload.outputs(subject.model)
    finally:
        handle.remove()
    return seen
