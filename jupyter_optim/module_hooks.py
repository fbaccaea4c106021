"""Hooks around every module call of this process, which compiled code does not get to see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.utils.hooks import RemovableHandle

from jupyter_optim.quiet import hooks_allowed

_BEFORE, _AFTER = hooks._global_forward_pre_hooks, hooks._global_forward_hooks
"""Of torch; `ModuleHooks.come_first` names them and not their module: dynamo compiles whatever names one of torch's."""

_CODE_ASKS = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
"""Whether compiled code may ask at each call whether there are global hooks, though it was made without them."""

Before = Callable[[nn.Module, tuple[Any, ...]], None]
After = Callable[..., None]
"""Given the module, its positional inputs, and, of a call that did not raise, its keyword inputs and its output."""


class ModuleHooks:
    """While it is entered, `before` and `after` are called around each call of a `torch.nn.Module`.

    Code that `torch.compile` makes while global hooks are in place has them in it, and asks at each call whether they
    still are: without them it would be compiled again, which may take a minute. So they are taken off while something
    is compiled. And they would be compiled themselves where they are called from within a compiled module; so they
    are marked as not to be.

    Where PyTorch's compiler is loaded later than this is entered, it is noticed at the next call of a module that is
    not within compiled code.

    Before PyTorch 2.13, code that was compiled without hooks may ask for them, too: that of models with a class that
    has a `__call__` of its own, as many of transformers' have. They are taken off while such a model is called.
    """

    def __init__(self, before: Before, after: After) -> None:
        self._tell, self._before, self._after = before, before, after
        self._handles: list[Any] = []
        self._compiler: Any = None
        self._disable: Any = None
        self._at_end: RemovableHandle | None = None
        """The hook of a module that is running without these."""
        self._entered = False

    def __enter__(self) -> Self:
        self._allowed = hooks_allowed()
        self._allowed.__enter__()
        self._entered = True
        self._meet_compiler()
        self._put_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        self._take_off()
        if self._at_end is not None:
            self._at_end.remove()  # a KeyboardInterrupt may have skipped it
        if self._compiler is not None:
            self._compiler.remove_start_callback(self._take_off)
            self._compiler.remove_end_callback(self._put_on)
            self._compiler = None
        self._allowed.__exit__(None, None, None)

    @property
    def within_compiled(self) -> bool:
        """Whether the hooks are called for a module that was compiled by its method `compile()`."""
        return self._compiler is not None

    def come_first(self) -> bool:
        """Whether these are called now for each module, and before any other hook."""
        handles = self._handles
        return (
            bool(handles)
            and next(iter(_BEFORE), None) == handles[0].id
            and next(iter(_AFTER), None) == handles[1].id
        )

    def _meet_compiler(self) -> bool:
        """Have the compiler tell when it works, if it is loaded now."""
        dynamo = sys.modules.get("torch._dynamo")
        handler = getattr(dynamo, "callback_handler", None)
        disable = getattr(dynamo, "disable", None)
        if handler is None or disable is None:
            return False
        self._compiler, self._disable = handler, disable
        self._before, self._after = disable(self._begins if _CODE_ASKS else self._tell), disable(self._after)
        handler.register_start_callback(self._take_off)
        handler.register_end_callback(self._put_on)
        return True

    def _waiting(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Stands in for `before` until the compiler is loaded."""
        if torch.compiler.is_compiling():
            return
        if self._meet_compiler():
            self._take_off()
            self._put_on()
        self._before(module, args)

    def _begins(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Stands in for `before` once the compiler is loaded."""
        self._tell(module, args)
        if not self._handles or not _asks_for_hooks(module):
            return
        self._take_off()

        def ends(module: nn.Module, *found: Any) -> None:
            handle.remove()
            self._put_on()
            self._after(module, *found)

        handle = module.register_forward_hook(self._disable(ends), with_kwargs=True, always_call=True)
        self._at_end = handle

    def _put_on(self, *_: Any) -> None:
        if self._handles or not self._entered:
            return
        before = self._waiting if self._compiler is None else self._before
        self._handles = [
            hooks.register_module_forward_pre_hook(before),
            hooks.register_module_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]

    def _take_off(self, *_: Any) -> None:
        for handle in self._handles:
            take_off(handle)
        self._handles = []


def _asks_for_hooks(module: nn.Module) -> bool:
    """Whether the module is compiled, and its code asks at each call whether there are global hooks."""
    compiled = getattr(module, "_orig_mod", module)
    if compiled is module and getattr(module, "_compiled_call_impl", None) is None:
        return False
    return any(type(each).__call__ is not nn.Module.__call__ for each in compiled.modules())


def take_off(handle: RemovableHandle) -> None:
    """Remove a global module hook, all of it.

    Of one that takes keyword inputs or is always called torch leaves a mark, and then warns at each call of a compiled
    model that there are hooks.
    """
    handle.remove()
    for name in ("_global_forward_hooks_with_kwargs", "_global_forward_hooks_always_called"):
        getattr(hooks, name, {}).pop(handle.id, None)
