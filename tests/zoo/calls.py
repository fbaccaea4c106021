"""Calling a model of the zoo, without leaving a trace where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tests.zoo.checks import clone_tensors


def call(model: nn.Module, inputs: Any) -> Any:
    """One call of `model`, as `jupyter_optim.optimize` would make it, on a copy of `inputs`.

    Random layers draw the same numbers at each call; the caller's random state stays as it is.
    """
    inputs = clone_tensors(inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
            return model(*inputs)
        return model(inputs)


def peek(model: nn.Module, inputs: Any) -> Any:
    """What `model` answers, and the model is afterwards as it was before."""
    with state_kept(model):
        return clone_tensors(call(model, inputs))


@contextmanager
def state_kept(model: nn.Module) -> Iterator[None]:
    """Buffers, attributes and generators of `model` are put back at the end. For well-behaved calls only."""
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    own = [(module, dict(module.__dict__)) for module in modules]
    inner = [
        (held, held.copy())
        for _, attributes in own
        for held in attributes.values()
        if isinstance(held, dict | list)
    ]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    generators = [
        (held, held.get_state())
        for _, attributes in own
        for held in attributes.values()
        if isinstance(held, torch.Generator)
    ]
    try:
        yield
    finally:
        for module, attributes in own:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for held, content in inner:
            held.clear()
            held.update(content) if isinstance(held, dict) else held.extend(content)
        with torch.no_grad():
            for buffer, value in buffers:
                if buffer.is_inference() or not torch.equal(_bits(buffer), _bits(value)):
                    buffer.copy_(value)
        for generator, state in generators:
            generator.set_state(state)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` so that NaN compares equal to itself."""
    return torch.nan_to_num(tensor) if tensor.is_floating_point() else tensor
