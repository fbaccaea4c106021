"""Measuring leaves no trace: what a call of a model writes is put back.

A forward pass may move random state, write buffers (BatchNorm's statistics, counters), set plain
attributes (caches, call counts) and, where it calls `backward`, leave gradients.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

_REGISTRIES = ("_parameters", "_buffers", "_modules")
"""The dicts inside a module's `__dict__` that a forward may write entries of."""

_SPARE_MEMORY = 0.25
"""Weights are copied for a while if they fit into this part of the free memory."""


@contextmanager
def undisturbed(model: nn.Module, *, parameters: bool = False) -> Iterator[None]:
    """Whatever calls inside do to `model` and to the random state is undone at the end, also after an error.

    Args:
        model: the root module.
        parameters: undo in-place writes to parameters too. That takes a copy of all weights meanwhile, so it
            is for models whose forward writes to them; `versions` tells.
    """
    with rng_kept():
        saved = _State.of(model, parameters=parameters)
        try:
            yield
        finally:
            saved.restore()


@contextmanager
def rng_kept() -> Iterator[None]:
    """The random state of Python, numpy and torch (all its initialised devices) is put back at the end."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the user's own global state)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def affordable(model: nn.Module) -> bool:
    """Whether there is memory to spare for a copy of the parameters, such as `undisturbed` may take."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()
               if not isinstance(parameter, nn.UninitializedParameter))  # fmt: skip
    available: int = psutil.virtual_memory().available
    return size < _SPARE_MEMORY * available


def versions(model: nn.Module) -> tuple[int, ...]:
    """For each parameter a number that changes with any write to it, and with any exchange of its data."""
    return tuple(_stamp(parameter) for parameter in model.parameters())


def weights_usable(model: nn.Module) -> AbstractContextManager[Any]:
    """Inference mode, if the model was built in it: elsewhere PyTorch lets nobody set such weights' `requires_grad`."""
    return torch.inference_mode(any(weight.is_inference() for weight in model.parameters()))


def _stamp(parameter: torch.Tensor) -> int:
    # tensor subclasses (torchao's) have no address of their own
    address = parameter.data_ptr() if type(parameter) in (torch.Tensor, nn.Parameter) else id(parameter)
    return hash((address, write_count(parameter), parameter.dtype))


@dataclass(slots=True)
class _State:
    attributes: list[tuple[nn.Module, dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]]
    data: list[tuple[nn.Parameter, torch.Tensor]]
    buffers: list[tuple[torch.Tensor, torch.Tensor, int]]
    gradients: list[tuple[nn.Parameter, torch.Tensor | None]]
    generators: list[tuple[torch.Generator, torch.Tensor]]

    @classmethod
    def of(cls, model: nn.Module, *, parameters: bool) -> _State:
        attributes = []
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # its attributes are in C++; its buffers are below
            own = module.__dict__
            registries = {key: dict(own[key]) for key in _REGISTRIES if key in own}
            lists = {
                key: value[:] if isinstance(value, list) else dict(value)
                for key, value in own.items()
                if key not in _REGISTRIES and type(value) in (list, dict, OrderedDict)
            }
            attributes.append((module, dict(own), registries, lists))
        plain = [
            value
            for module in model.modules()
            for value in module.__dict__.values()
            if isinstance(value, torch.Tensor) and not value.requires_grad
        ]
        weights = list(model.parameters()) if parameters else []
        buffers = [
            (each, each.detach().clone(), write_count(each)) for each in [*model.buffers(), *plain, *weights]
        ]
        data = [(p, p.data) for p in model.parameters() if type(p) is nn.Parameter]
        generators = [
            (value, value.get_state())
            for module in model.modules()
            for value in module.__dict__.values()
            if isinstance(value, torch.Generator)
        ]
        gradients = [(p, p.grad) for p in model.parameters() if p.requires_grad]
        buffers += [(g, g.detach().clone(), write_count(g)) for _, g in gradients if g is not None]
        return cls(attributes, data, buffers, gradients, generators)

    def restore(self) -> None:
        for module, own, registries, contents in self.attributes:
            current = module.__dict__
            for key in [key for key in current if key not in own]:
                del current[key]
            current.update(own)
            for key, entries in registries.items():
                current[key].clear()
                current[key].update(entries)
            for key, items in contents.items():
                _refill(current[key], items)
        for generator, state in self.generators:
            generator.set_state(state)
        with torch.no_grad():
            for weight, data in self.data:
                if weight.data_ptr() != data.data_ptr() or weight.dtype != data.dtype:
                    weight.data = data
            for buffer, content, version in self.buffers:
                # BatchNorm writes its statistics without counting it as a write
                if write_count(buffer) != version or not _equal(buffer, content):
                    buffer.copy_(content)
            for parameter, gradient in self.gradients:
                parameter.grad = gradient


def write_count(tensor: torch.Tensor) -> int:
    """Write counter of `tensor`, or -1 for an inference tensor, which keeps none."""
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        return 0
    return -1 if tensor.is_inference() else tensor._version


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the contents are equal; tensor subclasses (torchao's) know no comparison, and count their writes."""
    return type(a) not in (torch.Tensor, nn.Parameter) or torch.equal(a, b)


def _refill(container: Any, items: Any) -> None:
    """Give `container` its former items, only if they differ: others may be reading it."""
    if isinstance(container, list):
        if len(container) != len(items) or any(a is not b for a, b in zip(container, items, strict=True)):
            container[:] = items
    elif list(container) != list(items) or any(container[key] is not items[key] for key in items):
        container.clear()
        container.update(items)
