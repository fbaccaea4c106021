"""Which modules hold no code of the user's at all, so that no line of theirs can run within them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from jupyter_optim.profiling.lines.user_code import UserCode

_PLAIN = (torch.Tensor, str, int, float, complex, bool, type(None), torch.dtype, torch.device)


class LibraryModules:
    """Tells modules that are a library's through and through.

    A module is looked at once: its class and what it inherits from, its hooks, what it holds, and its children. What a
    call is given is not: code of the user's that comes in as an argument counts for the line that made the call.
    """

    def __init__(self, code: UserCode) -> None:
        self._code = code
        self._known: dict[int, bool] = {}
        self._classes: dict[type, bool] = {}

    def holds_none(self, module: nn.Module) -> bool:
        """Whether neither the module nor anything in it has code of the user's; it must stay alive meanwhile."""
        known = self._known.get(id(module))
        if known is None:
            # for one that holds itself
            self._known[id(module)] = True
            known = not self._own(module) and all(map(self.holds_none, module.children()))
            self._known[id(module)] = known
        return known

    def _own(self, module: nn.Module) -> bool:
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        held = (value for name, value in vars(module).items() if not name.startswith("_"))
        return self._of_class(type(module)) or any(map(self._users, hooks)) or any(map(self._holds, held))

    def _holds(self, value: Any) -> bool:
        if isinstance(value, dict):
            return any(map(self._users, value.values()))
        if isinstance(value, list | tuple | set):
            return any(map(self._users, value))
        return self._users(value)

    def _users(self, value: Any) -> bool:
        """Whether calling `value` would run code of the user's."""
        if isinstance(value, _PLAIN):
            return False
        if isinstance(value, MethodType):
            return self._users(value.__func__) or self._of_class(type(value.__self__))
        if isinstance(value, functools.partial):
            return self._users(value.func)
        if isinstance(value, FunctionType):
            return self._code.place(value.__code__.co_filename) is not None
        return self._of_class(value if isinstance(value, type) else type(value))

    def _of_class(self, kind: type) -> bool:
        known = self._classes.get(kind)
        if known is None:
            known = self._classes[kind] = any(map(self._own_functions, kind.__mro__))
        return known

    def _own_functions(self, kind: type) -> bool:
        functions: Iterable[Any] = (getattr(value, "__func__", value) for value in vars(kind).values())
        return any(
            self._code.place(each.__code__.co_filename) is not None
            for each in functions if isinstance(each, FunctionType)
        )  # fmt: skip
