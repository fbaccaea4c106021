"""Mean and second moments of what layers get as inputs, gathered in one call of the live model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim.techniques.subject import Subject


@dataclass(slots=True)
class Moments:
    """Sums over the rows (tokens, pixels) of a layer's inputs; float64."""

    rows: int
    total: torch.Tensor
    """Sum of the rows, shape (channels,)."""
    products: torch.Tensor
    """Sum of their outer products, shape (channels, channels)."""

    @classmethod
    def of(cls, rows: torch.Tensor) -> Moments:
        """Of inputs of shape (rows, channels)."""
        # products in float32, which is what the layer itself computes in, of what differs from the mean: next to a
        # large mean they would be lost
        exact = rows.detach().float()
        total = exact.double().sum(0)
        mean = total / max(1, len(exact))
        centred = exact - mean.float()
        # the mean in float32 is off by a little, and so the sum of what differs from it is not quite zero
        near, left = mean.float().double(), centred.double().sum(0)
        across = torch.outer(near, left)
        products = (centred.T @ centred).double() + across + across.T + torch.outer(near, near) * len(exact)
        return cls(len(rows), total, products)

    def add_(self, other: Moments) -> None:
        self.rows += other.rows
        self.total += other.total
        self.products += other.products

    @property
    def mean(self) -> torch.Tensor:
        """Shape (channels,)."""
        return self.total / max(1, self.rows)

    @property
    def covariance(self) -> torch.Tensor:
        """Shape (channels, channels)."""
        return self.products / max(1, self.rows) - torch.outer(self.mean, self.mean)

    @property
    def squares(self) -> torch.Tensor:
        """Mean square of each channel, shape (channels,)."""
        return self.products.diagonal() / max(1, self.rows)


def moments_of(subject: Subject, paths: Iterable[str]) -> dict[str, Moments]:
    """Call the live model once; by path, what each of these modules got. Those that were not called are left out."""
    wanted: dict[nn.Module, str] = {subject.modules[path]: path for path in paths}
    seen: dict[str, Moments] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        path = wanted.get(module)
        if path is None or not args or args[0].numel() == 0:
            return
        found = Moments.of(rows_of(module, args[0]))
        if path in seen:
            seen[path].add_(found)
        else:
            seen[path] = found

    handle = hooks.register_module_forward_pre_hook(note)
    try:
        with every_layer_called():
            subject.workload.outputs(subject.model)
    finally:
        handle.remove()
    return seen


@contextmanager
def every_layer_called() -> Iterator[None]:
    """Without the fast path of nn.TransformerEncoderLayer, which reads weights and calls no layer."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def rows_of(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A layer's input as rows of channels."""
    if isinstance(module, nn.Conv2d):
        x = x.movedim(-3, -1)
    return x.reshape(-1, x.shape[-1])
