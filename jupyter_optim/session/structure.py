"""What a model is made of, by name: enough to tell whether another one is an original of the same kind."""

from __future__ import annotations

import msgspec
from torch import nn

from jupyter_optim.report.base import Data


class ModuleShape(Data, frozen=True, kw_only=True):
    """One module: its class by name, and the type and shape of each tensor that is its own."""

    path: str
    kind: str
    tensors: dict[str, str] = msgspec.field(default_factory=dict)


def structure_of(model: nn.Module) -> tuple[ModuleShape, ...]:
    """Each module of `model`, in order; contents and attributes do not count."""
    return tuple(
        ModuleShape(path=path, kind=type(module).__name__, tensors=_tensors(module))
        for path, module in model.named_modules()
    )


def difference(saved: tuple[ModuleShape, ...], here: tuple[ModuleShape, ...]) -> str | None:
    """The first difference in a sentence, or None: classes, names, types and shapes."""
    there = {module.path: module for module in saved}
    for module in here:
        other = there.pop(module.path, None)
        where = f"`{module.path}`" if module.path else "the model"
        if other is None:
            return f"{where}, a {module.kind}, is not in the saved one"
        if module.kind != other.kind:
            return f"{where} is a {module.kind}, and was a {other.kind}"
        for name in sorted({*module.tensors, *other.tensors}):
            own, former = module.tensors.get(name, "not there"), other.tensors.get(name, "not there")
            if own != former:
                return f"`{name}` of {where} is {own}, and was {former}"
    return f"`{next(iter(there))}` is missing" if there else None


def _tensors(module: nn.Module) -> dict[str, str]:
    own = {**module._parameters, **module._buffers}
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
        for name, tensor in own.items()
        if tensor is not None and name not in module._non_persistent_buffers_set
    }
