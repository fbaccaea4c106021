"""Whether engines can take a model, and a call of it."""

from __future__ import annotations

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.techniques.engines.flat import key_of
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.precision import floating_dtype
from jupyter_optim.techniques.subject import Subject


def checked(call: ForwardCall) -> ForwardCall:
    """`call`, if an engine can take it. Raises `NotApplicable`."""
    if key_of(call.args, call.kwargs) is None:
        raise NotApplicable("its inputs are not all plain values and dense tensors on the CPU")
    if not call.tensors:
        raise NotApplicable("it takes no tensor as an input")
    if any(tensor.dtype in (torch.bfloat16, torch.complex64, torch.complex128) for tensor in call.tensors):
        raise NotApplicable("its inputs are of a type that engines do not take")
    leaves = [leaf for _, leaf in tree.leaves(call.outputs)]
    if not all(isinstance(leaf, torch.Tensor | type(None)) for leaf in leaves):
        odd = next(type(leaf).__name__ for leaf in leaves if not isinstance(leaf, torch.Tensor | type(None)))
        raise NotApplicable(f"it returns a {odd}, and engines return tensors only")
    return call


def obstacle(subject: Subject) -> str | None:
    """Why no engine can take the model, or None."""
    workload = subject.workload
    floating = any(parameter.is_floating_point() for parameter in subject.model.parameters())
    hooked = next((path for path, module in subject.modules.items() if path and _has_hooks(module)), None)
    reasons = {
        "it was called in train mode, and engines compute no gradients: call `model.eval()` first": subject.training,
        "this engine runs on the CPU here, and the model is elsewhere": workload.device.type != "cpu",
        "it runs under autocast, which engines do not know": bool(workload.mode.autocast),
        "its forward writes to its inputs, or they are objects with a state": workload.mutates_inputs,
        "its forward was replaced on the object itself": "forward" in subject.model.__dict__,
        "its layers are int8 already, in a form of PyTorch's own: undo that first": any(
            hasattr(module, "packed_bytes") for module in subject.modules.values()
        ),
        "its weights are not all float32: undo that first": floating
        and floating_dtype(subject.model) != torch.float32,
        f"`{hooked}` has a hook, which an engine would not call": hooked is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
