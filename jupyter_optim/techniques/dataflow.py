"""Which BatchNorm layers get the answers of one convolution or Linear, and nobody else does: seen in one call.

The call runs under a dispatch mode, which sees each op that PyTorch executes, whoever called it, with gradients or
without; so a `detach`, an `argmax` or a read of a weight counts as well as a layer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from jupyter_optim import tree

_MARK = "_jupyter_optim_made_by"
"""Attribute of a tensor that a watched layer returned: that layer."""


@dataclass
class Watched:
    """What is known of a call's layers and norms."""

    layers: set[nn.Module]
    norms: set[nn.Module]
    reads: dict[nn.Module, list[nn.Module | None]] = field(default_factory=dict)
    """By norm, for each of its calls: the layer whose answer it got."""
    answers: dict[nn.Module, int] = field(default_factory=dict)
    """By layer: its calls."""
    spoilt: set[nn.Module] = field(default_factory=set)
    """Layers and norms whose answers or weights are read elsewhere too."""

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each layer with the norm behind it, where all answers of the layer go to that norm alone.

        A norm that several layers share counts if that is so for each of them.
        """
        found = []
        for norm, makers in self.reads.items():
            own = [each for each in makers if each is not None and each not in self.spoilt]
            if norm in self.spoilt or len(own) < len(makers):
                continue
            if all(makers.count(each) == self.answers.get(each) for each in own):
                found += [(each, norm) for each in dict.fromkeys(own)]
        return found


class _Ops(TorchDispatchMode):
    """Notes who reads the answers and weights of the watched layers."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = watched
        self._running: list[nn.Module] = []
        owners: dict[int, nn.Module] = {}
        for module in [*watched.layers, *watched.norms]:
            for tensor in [*module._parameters.values(), *module._buffers.values()]:
                if tensor is None:
                    continue
                if owners.setdefault(id(tensor), module) is not module:
                    # a weight of two layers cannot be changed for one of them
                    watched.spoilt |= {module, owners[id(tensor)]}
        self._owners = owners

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in tree.tensors((args, kwargs or {})):
            self.read(tensor)
        return func(*args, **(kwargs or {}))

    def read(self, tensor: torch.Tensor) -> None:
        """`tensor` is looked at by whatever runs now."""
        now = self._running[-1] if self._running else None
        maker = getattr(tensor, _MARK, None)
        # while a norm runs, what it was given is its own business
        if maker is not None and now not in self._watched.norms:
            self._watched.spoilt.add(maker)
        owner = self._owners.get(id(tensor))
        if owner is not None and now is not owner:
            self._watched.spoilt.add(owner)

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._running.append(module)
        if module in self._watched.norms:
            maker = getattr(args[0], _MARK, None) if args else None
            self._watched.reads.setdefault(module, []).append(maker)

    def leave(self, module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        self._running.pop()
        if module in self._watched.layers:
            answers = self._watched.answers
            answers[module] = answers.get(module, 0) + 1
            if isinstance(output, torch.Tensor) and _channels_are_second(module, output):
                setattr(output, _MARK, module)


def _channels_are_second(layer: nn.Module, output: torch.Tensor) -> bool:
    """Whether a BatchNorm takes the layer's own channels for its channels.

    It takes the second dimension: that is another one for a Linear's answer of three dimensions, and for that of a
    convolution without a batch.
    """
    return output.dim() == (2 if isinstance(layer, nn.Linear) else layer.weight.dim())  # type: ignore[operator]


def watch(
    model: nn.Module,
    layers: Iterable[nn.Module],
    norms: Iterable[nn.Module],
    call: Callable[[nn.Module], Any],
) -> Watched:
    """Run ``call(model)`` once and see who reads what.

    Args:
        model: a draft; its modules get hooks for a moment, and keep none.
        layers: modules of it whose answers are followed.
        norms: modules of it that may read them.
        call: calls the model and returns its answer.
    """
    watched = Watched(set(layers), set(norms))
    ops = _Ops(watched)
    handles: list[Any] = []
    try:
        for module in [*watched.layers, *watched.norms]:
            handles.append(module.register_forward_pre_hook(ops.enter))
            handles.append(module.register_forward_hook(ops.leave, always_call=True))
        with ops:
            answer = call(model)
    finally:
        for handle in handles:
            handle.remove()
    for tensor in _within_reach(model, answer):
        ops.read(tensor)
    return watched


def _within_reach(model: nn.Module, answer: Any) -> list[torch.Tensor]:
    """What was returned, and what modules keep in plain attributes for whoever may ask later."""
    registries = ("_parameters", "_buffers", "_modules")
    kept = [
        value for module in model.modules() for name, value in vars(module).items() if name not in registries
    ]
    found = []
    for _, leaf in tree.leaves((answer, kept)):
        found += [leaf] if isinstance(leaf, torch.Tensor) else tree.held_tensors(leaf)
    return found
