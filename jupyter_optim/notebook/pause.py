"""Find a moment in which no thread is inside a call of the model, and do something in it.

A cell that runs meanwhile may call the model at any time. Each call must see the model as it was before, or as
it is after an exchange of its contents: never some layers of this and some of that.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from torch import nn

from jupyter_optim.errors import Cancelled

_LOOK_S = 0.02
_UNSWITCHED_S = 60.0
"""Longer than a look and an exchange take: no other Python thread runs in between."""


def between_calls(model: nn.Module, act: Callable[[], None], *, wait: Callable[[], bool]) -> None:
    """Do `act` while no other thread is inside a call of `model` or of one of its modules.

    Args:
        model: the live model.
        act: takes a moment only. It may be done in the thread that calls the model, as one call ends.
        wait: called some times a second while the model is in use; False ends the waiting.

    Raises:
        Cancelled: `wait` returned False; nothing was done.
    """
    moment = _Moment(model, act)
    if moment.seize():
        moment.check()
        return
    with _at_end_of_calls(model, moment.at_end_of_call):
        while not moment.wait(_LOOK_S) and not moment.seize():
            if not wait() and moment.close():
                raise Cancelled("Cancelled: the model is as it was before.")
    moment.check()


class _Moment:
    """One thing to do at the first chance, once, by whichever thread has it."""

    def __init__(self, model: nn.Module, act: Callable[[], None]) -> None:
        self._modules = {id(module) for module in model.modules()}
        self._act = act
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._error: BaseException | None = None

    def wait(self, timeout: float) -> bool:
        return self._done.wait(timeout)

    def check(self) -> None:
        """Raise what the act raised, in the thread that wanted it."""
        if self._error is not None:
            raise self._error

    def close(self) -> bool:
        """Do it no more; False if it was done."""
        with self._lock:
            done = self._done.is_set()
            self._done.set()
            return not done

    def seize(self) -> bool:
        """Do it now, if no other thread is inside a call; False if one is."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            with _unswitched():
                if not self._done.is_set():
                    if self._elsewhere_in_call():
                        return False
                    self._do()
            return True
        finally:
            self._lock.release()

    def at_end_of_call(self) -> None:
        """A chance, if what ends is the outermost call of the model in this thread."""
        if not self._done.is_set() and sum(1 for _ in self._calls(sys._getframe())) == 1:  # noqa: SLF001
            self.seize()

    def _do(self) -> None:
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 (it belongs to the thread that wanted it)
            self._error = error
        self._done.set()

    def _elsewhere_in_call(self) -> bool:
        mine = threading.get_ident()
        frames = sys._current_frames().items()  # noqa: SLF001 (documented)
        return any(True for thread, frame in frames if thread != mine for _ in self._calls(frame))

    def _calls(self, frame: FrameType | None) -> Iterator[FrameType]:
        """The frames, from `frame` outwards, that are calls of the model or of one of its modules."""
        call = nn.Module._wrapped_call_impl.__code__  # noqa: SLF001 (every call goes through it)
        while frame is not None:
            if frame.f_code is call and id(frame.f_locals.get("self")) in self._modules:
                yield frame
            frame = frame.f_back


@contextmanager
def _at_end_of_calls(model: nn.Module, chance: Callable[[], None]) -> Iterator[None]:
    """Have `chance` called by whoever calls the model, once the call has done all else.

    A thread that calls the model again and again holds the interpreter between the calls, and lets go of it
    inside them only: nobody but that thread itself ever sees the moment in between.
    """
    if getattr(model, "_compiled_call_impl", None) is not None:
        yield  # the compiler would trace the hook
        return
    # the last of the root's own hooks: those before it are of the model as it was
    hook = model.register_forward_hook(lambda *_: chance())
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _unswitched() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_UNSWITCHED_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
