"""Put a finished draft into the live model's own objects, in one step that can be reverted.

Every reference that the user holds, to the root or to a submodule, sees the change, because each live module
object takes over the class and the `__dict__` of its counterpart in the draft.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jupyter_optim.compiled_call import compiled_call
from jupyter_optim.errors import UnsupportedModel
from jupyter_optim.techniques.draft import _HOOK_DICTS, Draft

CARRIED = "_jupyter_optim_session"
"""Attribute of a live root that holds its session, whatever else the root becomes."""

_UNSWITCHED_S = 60.0
"""Longer than any swap takes: no other Python thread runs in between."""


@dataclass(slots=True)
class _Swap:
    """What one live module object is made of, before and after."""

    module: nn.Module
    cls: type
    contents: dict[str, Any]


class Graft:
    """A prepared exchange of a live model's contents; `swap` goes to and fro.

    Nothing is copied: the former contents are kept as they are, so a return is exact to the bit and to the
    object.
    """

    def __init__(self, draft: Draft, root: nn.Module, *, compiled: dict[str, Any] | None = None) -> None:
        """Pair the modules of the tree under `root`, made from `draft`, with the live ones.

        Args:
            draft: where the tree came from.
            root: the changed tree.
            compiled: arguments of `torch.compile` if the live root is to be compiled; it happens at its next call.
        """
        self._swaps = _plan(draft, root)
        for swap in self._swaps:
            if swap.module is draft.live:
                call = None if compiled is None else compiled_call(draft.live, compiled)
                swap.contents["_compiled_call_impl"] = call
        self.applied = False

    def apply(self) -> None:
        """Make the live model what the draft is. Raises `UnsupportedModel` with the model as before."""
        if not self.applied:
            self._exchange()

    def revert(self) -> None:
        """Make the live model what it was."""
        if self.applied:
            self._exchange()

    def _exchange(self) -> None:
        done: list[tuple[_Swap, type, dict[str, Any]]] = []
        with _uninterrupted():
            try:
                for swap in self._swaps:
                    cls, contents = type(swap.module), swap.module.__dict__
                    done.append((swap, cls, contents))
                    # the mode that the user has set meanwhile is the user's
                    swap.contents["training"] = contents.get("training", True)
                    if CARRIED in contents:
                        swap.contents[CARRIED] = contents[CARRIED]
                    _become(swap.module, swap.cls, swap.contents)
            except BaseException as error:
                for swap, cls, contents in reversed(done):
                    _become(swap.module, cls, contents)
                if isinstance(error, TypeError):
                    raise UnsupportedModel(f"This model cannot be changed in place: {error}.") from error
                raise
            for swap, cls, contents in done:
                swap.cls, swap.contents = cls, contents
            # before a held Ctrl-C is let through: whoever catches it must know
            self.applied = not self.applied


def _become(module: nn.Module, cls: type, contents: dict[str, Any]) -> None:
    # past nn.Module.__setattr__, which a model may have overridden
    if type(module) is not cls:
        object.__setattr__(module, "__class__", cls)
    object.__setattr__(module, "__dict__", contents)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """No other Python thread runs meanwhile, and Ctrl-C waits until the end."""
    interval = sys.getswitchinterval()
    main = threading.current_thread() is threading.main_thread()
    pending: list[tuple[int, types.FrameType | None]] = []
    handler = signal.getsignal(signal.SIGINT) if main else None
    if main and callable(handler):
        signal.signal(signal.SIGINT, lambda number, frame: pending.append((number, frame)))
    sys.setswitchinterval(_UNSWITCHED_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if main and callable(handler):
            signal.signal(signal.SIGINT, handler)
            if pending:
                handler(*pending[0])


def _plan(draft: Draft, root: nn.Module) -> list[_Swap]:
    """For each live module, what it becomes."""
    counterpart = _pair(draft, root)
    # a list that still holds a module which was replaced means whatever took its place
    to_live: dict[int, Any] = {id(shell): live for shell, live in draft.origin.items()}
    to_live.update((id(new), live) for new, live in counterpart.items())
    children = {id(new): live for new, live in counterpart.items()}
    buffers = draft.untouched_buffers()
    swaps = []
    for new, live in counterpart.items():
        contents: dict[str, Any] = {}
        for name, value in new.__dict__.items():
            if name == "_modules":
                contents[name] = {key: children.get(id(child), child) for key, child in value.items()}
            elif name == "_buffers":
                contents[name] = {key: buffers.get(id(buffer), buffer) for key, buffer in value.items()}
            elif name in _HOOK_DICTS and value.keys() == live.__dict__.get(name, {}).keys():
                # the user's handles point to this very dict: `handle.remove()` must go on to work
                contents[name] = live.__dict__.get(name, value)
            else:
                contents[name] = _redirected(value, to_live)
        swaps.append(_Swap(live, type(new), contents))
    for new in root.modules():
        if new not in counterpart and any(id(child) in children for child in new._modules.values()):
            inner = {key: children.get(id(child), child) for key, child in new._modules.items()}
            swaps.append(_Swap(new, type(new), {**new.__dict__, "_modules": inner}))
    return swaps


def _pair(draft: Draft, root: nn.Module) -> dict[nn.Module, nn.Module]:
    """Each module under `root` that stands for a live one, with that one.

    Modules that come from the draft stand for their originals. A new module stands for the original of the
    one whose place it took: the same name in the same parent, if that one is in the tree no more.
    """
    present = set(root.modules())
    pairs = {shell: live for shell, live in draft.origin.items() if shell in present}
    if root not in pairs and draft.root not in present:
        pairs[root] = draft.live
    taken = set(pairs.values())
    for parent in root.modules():
        live_parent = pairs.get(parent)
        if live_parent is None:
            continue
        for name, child in parent._modules.items():
            former = live_parent._modules.get(name)
            if child is not None and former is not None and child not in pairs and former not in taken:
                pairs[child] = former
                taken.add(former)
    if root not in pairs:
        # a new root around the draft: the user's object becomes the new root, the draft's shell the inner one
        del pairs[draft.root]
        pairs[root] = draft.live
    return pairs


def _redirected(value: Any, to_live: dict[int, Any]) -> Any:
    """`value` with references to draft modules, in plain containers and bound methods, led to the live ones."""
    if isinstance(value, nn.Module):
        return to_live.get(id(value), value)
    if isinstance(value, torch.Tensor | str | int | float | bool | type(None)):
        return value
    if isinstance(value, types.MethodType) and id(value.__self__) in to_live:
        return types.MethodType(value.__func__, to_live[id(value.__self__)])
    if isinstance(value, functools.partial):
        return functools.partial(
            _redirected(value.func, to_live),
            *[_redirected(item, to_live) for item in value.args],
            **{key: _redirected(item, to_live) for key, item in value.keywords.items()},
        )
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_redirected(item, to_live) for item in value)
    if type(value) is dict:
        return {key: _redirected(item, to_live) for key, item in value.items()}
    return value


Swapper = Callable[[Callable[[], None]], None]
"""Runs a swap where nothing is using the model: at once, or on the kernel's main thread."""
