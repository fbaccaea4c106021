"""A draft of a model: its module objects copied, its weights shared, for a technique to change freely."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import UnsupportedModel
from jupyter_optim.guard import write_count
from jupyter_optim.techniques.technique import Weights

_HOOK_DICTS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip
_WRAPPERS = (
    "FullyShardedDataParallel",
    "FSDPModule",
    "DistributedDataParallel",
    "DataParallel",
    "OptimizedModule",
)


def undraftable(model: nn.Module) -> str | None:
    """Why no draft of `model` can be made, or None."""
    for path, module in model.named_modules():
        where = f"`{path}`" if path else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            return f"{where} is a ScriptModule, which cannot be changed in place: optimize the module it was made from"
        names = [kind.__name__ for kind in type(module).__mro__]
        for wrapper in _WRAPPERS:
            if wrapper in names:
                return f"{where} is wrapped in {wrapper}: optimize the module inside"
        engine = getattr(getattr(module.__dict__.get("forward"), "__func__", None), "engine_label", None)
        if engine is not None:
            return f"{where} runs on {engine}, which does not follow changes: undo that, apply this, and convert last"
        if module.__dict__.get("_compiled_call_impl") is not None:
            return (
                f"{where} is compiled, and compiled code does not follow changes: undo `compile`, apply this, "
                "and compile last"
            )
        if any(nn.parameter.is_lazy(p) for p in [*module._parameters.values(), *module._buffers.values()]):
            return f"{where} has parameters that are not initialised yet: call the model once"
    return None


class Draft:
    """A copy of a live model's module tree.

    Parameters are the live tensors themselves, or clones of them where the technique writes weights in place;
    buffers are clones, since a forward may write them. Plain attributes are copied, so that a technique may
    edit a config; what Python cannot copy (a lock, an open file) is shared.

    Attributes:
        live: the live root.
        root: the draft's root; a technique may put another in its place.
        origin: for each module of the draft as it was made, the live module behind it.
        trained: it was called in train mode since, which may write buffers without counting it as a write.
    """

    def __init__(self, live: nn.Module, *, weights: Weights = "shared") -> None:
        reason = undraftable(live)
        if reason is not None:
            raise UnsupportedModel(f"This model cannot be changed in place: {reason}.")
        self.live = live
        self.trained = False
        self.origin: dict[nn.Module, nn.Module] = {}
        self._buffers: list[tuple[torch.Tensor, torch.Tensor]] = []
        memo: dict[int, Any] = {}
        self._share_tensors(memo, weights)
        for module in live.modules():
            shell = _shell(module)
            memo[id(module)] = shell
            self.origin[shell] = module
        for shell, module in self.origin.items():
            _fill(shell, module, memo)
        # keeps the copied objects alive: memo is keyed by id
        self._memo = memo
        self.root: nn.Module = memo[id(live)]

    def _share_tensors(self, memo: dict[int, Any], weights: Weights) -> None:
        for module in self.live.modules():
            for parameter in module._parameters.values():
                if parameter is not None and id(parameter) not in memo:
                    memo[id(parameter)] = parameter if weights == "shared" else _cloned_parameter(parameter)
            for buffer in module._buffers.values():
                if buffer is not None and id(buffer) not in memo:
                    memo[id(buffer)] = copied = buffer.detach().clone()
                    self._buffers.append((buffer, copied))
            for value in module.__dict__.values():
                _share_graph_tensors(value, memo)

    def untouched_buffers(self) -> dict[int, torch.Tensor]:
        """By id of the draft's copy: the live buffer, for each that nobody wrote to or exchanged since."""
        return {
            id(copied): live
            for live, copied in self._buffers
            if write_count(copied) == 0 and (not self.trained or torch.equal(live, copied))
        }


def _shell(module: nn.Module) -> nn.Module:
    """An empty object of the module's class."""
    try:
        # not the class's own __new__: that of a GraphModule makes another class
        return object.__new__(type(module))
    except TypeError as error:
        raise UnsupportedModel(
            f"This model cannot be changed in place: {type(module).__name__} cannot be copied ({error})."
        ) from error


def _fill(shell: nn.Module, module: nn.Module, memo: dict[int, Any]) -> None:
    own = shell.__dict__
    for name, value in module.__dict__.items():
        if name in ("_parameters", "_buffers", "_modules"):
            own[name] = {key: None if item is None else memo[id(item)] for key, item in value.items()}
        elif name in _HOOK_DICTS:
            own[name] = type(value)((key, _copied(hook, memo)) for key, hook in value.items())
        else:
            own[name] = _copied(value, memo)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 (any class may refuse in its own way: it is then shared)
        return value


def _cloned_parameter(parameter: nn.Parameter) -> nn.Parameter:
    copied = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
    # subclasses of Parameter and marks on it (`is_shared`, say) stay
    copied.__class__ = parameter.__class__
    copied.__dict__.update(parameter.__dict__)
    return copied


def _share_graph_tensors(value: Any, memo: dict[int, Any]) -> None:
    """Put tensors that carry a graph into `memo`: deepcopy refuses them, and the next forward makes new ones."""
    if isinstance(value, torch.Tensor):
        if not value.is_leaf and id(value) not in memo:
            memo[id(value)] = value.detach().clone()
    elif isinstance(value, list | tuple):
        for item in value:
            _share_graph_tensors(item, memo)
    elif type(value) is dict:
        for item in value.values():
            _share_graph_tensors(item, memo)
