"""Whether a module's weights are still those that something was made from."""

from __future__ import annotations

import operator
from itertools import chain
from typing import Any

import torch
from torch import nn

from jupyter_optim.guard import write_count

_version, _address = operator.attrgetter("_version"), operator.methodcaller("data_ptr")


class Watch:
    """The tensors and the parts of a module as they are now; `unchanged` is quick, for it is asked each call.

    What takes time there is memory that the engine has driven out of the caches: what is empty is not looked at.
    """

    def __init__(self, module: nn.Module) -> None:
        self._registries: list[dict[str, Any]] = []
        for part in module.modules():
            registries: tuple[dict[str, Any], ...] = (part._parameters, part._buffers, part._modules)
            self._registries += filter(None, registries)
        self._held = [*chain.from_iterable(map(dict.values, self._registries))]
        self.tensors = [each for each in self._held if isinstance(each, torch.Tensor)]
        self._counting = [each for each in self.tensors if write_count(each) >= 0 and not _is_lazy(each)]
        self._writes = self._count()

    def unwritten(self) -> bool:
        """Whether no tensor was written to since."""
        return self._count() == self._writes

    def unchanged(self) -> bool:
        """Whether no tensor was written to or exchanged since, and no part either."""
        held = [*chain.from_iterable(map(dict.values, self._registries))]
        return len(held) == len(self._held) and all(map(operator.is_, held, self._held)) and self.unwritten()

    def _count(self) -> tuple[list[int], list[int]]:
        return [*map(_version, self._counting)], [*map(_address, self.tensors)]

    def same_contents(self, others: list[torch.Tensor]) -> bool:
        """Whether the tensors hold the same numbers as `others`, which may be the very same ones."""
        return len(others) == len(self.tensors) and all(
            a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))
            for a, b in zip(self.tensors, others, strict=True)
        )


def _is_lazy(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)
