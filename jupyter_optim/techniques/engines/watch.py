"""Whether a module's weights are still those that something was made from."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from jupyter_optim.guard import write_count


class Watch:
    """The tensors and the parts of a module as they are now; `unchanged` is quick enough for each call."""

    def __init__(self, module: nn.Module) -> None:
        self._places: list[tuple[dict[str, Any], str]] = []
        self._held: list[Any] = []
        for part in module.modules():
            for registry in (part._parameters, part._buffers, part._modules):
                entries: dict[str, Any] = registry
                self._places += [(entries, name) for name in entries]
                self._held += entries.values()
        self.tensors = [each for each in self._held if isinstance(each, torch.Tensor)]
        self._writes = self._count()

    def unwritten(self) -> bool:
        """Whether no tensor was written to since."""
        return self._count() == self._writes

    def unchanged(self) -> bool:
        """Whether no tensor was written to or exchanged since, and no part either."""
        places = zip(self._places, self._held, strict=True)
        return all(entries.get(name) is held for (entries, name), held in places) and self.unwritten()

    def _count(self) -> list[tuple[int, int]]:
        return [(write_count(each), each.data_ptr()) for each in self.tensors]

    def same_contents(self, others: list[torch.Tensor]) -> bool:
        """Whether the tensors hold the same numbers as `others`, which may be the very same ones."""
        return len(others) == len(self.tensors) and all(
            a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))
            for a, b in zip(self.tensors, others, strict=True)
        )
