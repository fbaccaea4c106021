"""Whether engines can take a model, and a call of it."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.techniques.engines.flat import key_of
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.precision import floating_dtype
from jupyter_optim.techniques.subject import Subject

_PLACES = {"cpu": "the CPU", "cuda": "NVIDIA GPUs"}
_WHERE = {"cpu": "the CPU", "cuda": "a GPU"}
_INSTEAD = {"cpu": ": take `openvino` or `onnxruntime`", "cuda": ": take `tensorrt`"}

_CONVERTED = (BasePruningMethod, SpectralNorm, WeightNorm)
"""Hooks of PyTorch's own that compute a weight from a module's tensors, and that are converted with its forward."""


def elsewhere(model: torch.device, engine: str) -> str | None:
    """Why a model cannot run on an engine for another type of device, and what to take instead; or None."""
    if model.type == engine:
        return None
    where = f"this engine runs on {_PLACES[engine]}, and the model is on {_WHERE.get(model.type, model.type.upper())}"
    return where + _INSTEAD.get(model.type, "")


def checked(call: ForwardCall, device: torch.device) -> ForwardCall:
    """`call`, if an engine on `device` can take it. Raises `NotApplicable`."""
    if key_of(call.args, call.kwargs, device) is None:
        where = "CPU" if device.type == "cpu" else "model's GPU"
        raise NotApplicable(f"its inputs are not all plain values and dense tensors on the {where}")
    if not call.tensors:
        raise NotApplicable("it takes no tensor as an input")
    # numpy, by which those on the CPU get them, has no bfloat16
    refused = {torch.complex64, torch.complex128} | ({torch.bfloat16} if device.type == "cpu" else set())
    if any(tensor.dtype in refused for tensor in call.tensors):
        raise NotApplicable("its inputs are of a type that engines do not take")
    leaves = [leaf for _, leaf in tree.leaves(call.outputs)]
    if not all(isinstance(leaf, torch.Tensor | type(None)) for leaf in leaves):
        odd = next(type(leaf).__name__ for leaf in leaves if not isinstance(leaf, torch.Tensor | type(None)))
        raise NotApplicable(f"it returns a {odd}, and engines return tensors only")
    return call


def obstacle(subject: Subject, dtypes: tuple[torch.dtype, ...]) -> str | None:
    """Why no engine that takes weights of one of `dtypes` can take the model, or None."""
    workload = subject.workload
    floating = any(parameter.is_floating_point() for parameter in subject.model.parameters())
    kinds = ", or ".join(f"all {str(dtype).removeprefix('torch.')}" for dtype in dtypes)
    hooked = next((path for path, module in subject.modules.items() if path and _loses_hooks(module)), None)
    reasons = {
        "it was called in train mode, and engines compute no gradients: call `model.eval()` first": subject.training,
        "it runs under autocast, which engines do not know": bool(workload.mode.autocast),
        "its forward writes to its inputs, or they are objects with a state": workload.mutates_inputs,
        "its forward was replaced on the object itself": "forward" in subject.model.__dict__,
        "its layers are int8 already, in a form of PyTorch's own: undo that first": any(
            hasattr(module, "packed_bytes") for module in subject.modules.values()
        ),
        f"its weights are not {kinds}: undo that first": floating
        and floating_dtype(subject.model) not in dtypes,
        f"`{hooked}` has a hook, which an engine would not call": hooked is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _loses_hooks(module: nn.Module) -> bool:
    """Whether it has hooks that an engine would leave out."""
    hooks = chain(module._forward_hooks.values(), module._forward_pre_hooks.values())
    return not all(isinstance(hook, _CONVERTED) for hook in hooks)
