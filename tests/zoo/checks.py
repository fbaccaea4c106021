"""What "the very same" means: outputs to the bit, a model down to its objects, random state."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)
_SESSION = "_jupyter_optim_session"
"""The session of a model lives as long as the model: it is held there."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


def outputs_equal(a: Any, b: Any) -> bool:
    """Whether two outputs are of the same types and structure, and equal to the bit; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return _tensors_equal(a, b)
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(outputs_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(outputs_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float | complex):
        return a == b or (a != a and b != b)
    fields = _fields(a)
    if fields is not None:
        return outputs_equal(fields, _fields(b))
    return bool(a == b)


def structure(value: Any) -> Any:
    """Types, nesting, shapes, dtypes and devices of `value`: what a caller of the model relies on."""
    if isinstance(value, torch.Tensor):
        return type(value).__name__, tuple(value.shape), str(value.dtype), str(value.device)
    if isinstance(value, Mapping):
        return type(value).__name__, {key: structure(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [structure(item) for item in value]
    fields = _fields(value)
    return type(value).__name__ if fields is None else (type(value).__name__, structure(fields))


def all_finite(value: Any) -> bool:
    """Whether no floating-point tensor in `value` holds NaN or infinity."""
    if isinstance(value, torch.Tensor):
        return not (value.is_floating_point() or value.is_complex()) or bool(torch.isfinite(value).all())
    if isinstance(value, Mapping):
        return all(all_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(all_finite(item) for item in value)
    return True


def clone_tensors(value: Any) -> Any:
    """`value` with copies of its tensors, cut from their graph; containers are built anew."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple):
        items = [clone_tensors(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if type(value) is list:
        return [clone_tensors(item) for item in value]
    if type(value) is dict:
        return {key: clone_tensors(item) for key, item in value.items()}
    return value


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """All that must be as before: contents, identities, gradients, hooks, flags, write counters.

    Two fingerprints compare with ``==``; `differences` tells where they differ.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    buffers = dict(model.named_buffers(remove_duplicate=False))
    return {
        "state_dict": {name: _digest(value) for name, value in model.state_dict().items()},
        "buffer contents": {name: _digest(buffer) for name, buffer in buffers.items()},
        "module ids": {name: id(module) for name, module in modules.items()},
        "classes": {name: type(module) for name, module in modules.items()},
        "parameter ids": {name: id(parameter) for name, parameter in parameters.items()},
        "buffer ids": {name: id(buffer) for name, buffer in buffers.items()},
        "gradients": {
            name: (id(parameter.grad), _digest(parameter.grad)) if parameter.grad is not None else None
            for name, parameter in parameters.items()
        },
        "hooks": {
            name: tuple(len(getattr(module, key, ())) for key in _HOOKS) for name, module in modules.items()
        },
        "training": {name: module.training for name, module in modules.items()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "layout": {name: _layout(parameter) for name, parameter in parameters.items()},
        "versions": {name: _version(parameter) for name, parameter in parameters.items()},
        "attributes": {
            name: {key: _attribute(value) for key, value in module.__dict__.items() if key != _SESSION}
            for name, module in modules.items()
            if not isinstance(module, torch.jit.ScriptModule)
        },
    }


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two fingerprints differ, and how: ``attributes / layer.0 / training: True is now False``."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        found = [
            differences(
                before.get(key, "nothing"), after.get(key, "nothing"), f"{where} / {key}" if where else key
            )
            for key in keys
        ]
        return [line for lines in found for line in lines]
    return [] if before == after else [f"{where}: {before} is now {after}"]


def check_same(before: dict[str, Any], after: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    """Raise AssertionError with what differs between two fingerprints, other than the parts named in `but`."""
    found = [line for line in differences(before, after) if not line.startswith(but)]
    if found:
        raise AssertionError("\n".join(found[:20]))


def rng_fingerprint() -> dict[str, str]:
    """Digests of the random state of torch, numpy and Python."""
    return {
        "torch": _digest(torch.get_rng_state()),
        "numpy": _sha(repr(np.random.get_state(legacy=False)).encode()),  # noqa: NPY002 (what a user seeds)
        "python": _sha(repr(random.getstate()).encode()),
    }


def _fields(value: Any) -> dict[str, Any] | None:
    """What `value` is made of, or None if it is a plain value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, type) or callable(value) or not hasattr(value, "__dict__"):
        return None
    return dict(vars(value))


def _tensors_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if (a.shape, a.dtype, a.device, a.layout) != (b.shape, b.dtype, b.device, b.layout):
        return False
    a, b = a.detach(), b.detach()
    if not (a.is_floating_point() or a.is_complex()):
        return torch.equal(a, b)
    missing = torch.isnan(a)
    return torch.equal(missing, torch.isnan(b)) and torch.equal(
        _bytes(a.masked_fill(missing, 0)), _bytes(b.masked_fill(missing, 0))
    )


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _digest(value: Any) -> str:
    if isinstance(value, UninitializedTensorMixin):
        return "uninitialized"
    if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_quantized:
        head = f"{value.dtype} {tuple(value.shape)} {value.device} "
        return head + _sha(_bytes(value).numpy().tobytes())
    return _sha(repr(value).encode())


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _layout(parameter: torch.Tensor) -> Any:
    if isinstance(parameter, UninitializedTensorMixin):
        return "uninitialized"
    return parameter.stride(), parameter.data_ptr()


def _version(parameter: torch.Tensor) -> int:
    countless = isinstance(parameter, UninitializedTensorMixin) or parameter.is_inference()
    return 0 if countless else parameter._version


def _attribute(value: Any) -> Any:
    """An attribute of a module by content where it is a plain value, or else by identity and size."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, torch.Generator):
        return id(value), _digest(value.get_state())
    if isinstance(value, torch.Tensor):
        return id(value), _digest(value)
    if isinstance(value, list | dict | set):
        return id(value), len(value)
    if isinstance(value, tuple):
        return tuple(_attribute(item) for item in value)
    return id(value)
