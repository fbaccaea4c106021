"""A call as engines take it: a list of tensors in, a list of tensors out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree

_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)


def key_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Hashable, ...] | None:
    """Equal for calls that differ in nothing but the contents of their tensors.

    Returns:
        None for a call that an engine cannot serve: with objects that are no plain values, or with tensors that are
        not dense or not on the CPU.
    """
    key: list[Hashable] = [torch.is_autocast_enabled("cpu")]
    for name, leaf in tree.leaves((args, kwargs)):
        if isinstance(leaf, torch.Tensor):
            if leaf.layout != torch.strided or leaf.is_nested or leaf.device.type != "cpu":
                return None
            key.append((name, leaf.dtype, tuple(leaf.shape)))
        elif isinstance(leaf, _IMMUTABLE):
            key.append((name, type(leaf), leaf))
        else:
            return None
    return tuple(key)


def without_shapes(key: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """The same for calls that differ in the shapes of their tensors only."""
    return tuple(
        part[:2] if isinstance(part, tuple) and isinstance(part[1], torch.dtype) else part for part in key
    )


class Frame:
    """A nested value without its tensors, to be filled with others."""

    def __init__(self, value: Any) -> None:
        self._is_tensor = isinstance(value, torch.Tensor)
        self._empty = tree.map_tensors(value, lambda tensor: tensor.detach().new_empty(0))
        self.dtypes = [tensor.dtype for tensor in tree.tensors(value)]

    def filled(self, tensors: list[torch.Tensor]) -> Any:
        """The value anew, with `tensors` in their order."""
        if self._is_tensor:
            return tensors[0]
        given = iter(tensors)
        return tree.map_tensors(self._empty, lambda _: next(given))


class FlatCall(nn.Module):
    """A module as engines see it while they convert it.

    Args:
        module: what is called.
        args: positional inputs of a call; their tensors are the inputs of this module, in order.
        kwargs: keyword inputs, whose tensors follow.
    """

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        # before it has children: exporters would put them all into its mode
        self.training = module.training
        self.module = module
        self._inputs = Frame((args, kwargs))

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of what the module returns."""
        args, kwargs = self._inputs.filled(list(tensors))
        return tuple(tree.tensors(self.module.forward(*args, **kwargs)))
