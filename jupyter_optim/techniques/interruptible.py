"""Long work that asks nobody whether to go on, done so that *Cancel* takes effect within a second."""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch

from jupyter_optim.progress import Progress

_T = TypeVar("_T")

_LOOK_S = 0.05
_GRACE_S = 0.5
"""How long work that was told to stop is waited for."""


class _Stopped(BaseException):
    """Raised in the thread of work that is wanted no more; no `except Exception` of a library's catches it."""


def interruptible(work: Callable[[], _T], progress: Progress) -> _T:
    """What `work` returns, or raises.

    It runs in a thread of its own, in this thread's circumstances. Once *Cancel* was pressed, or Ctrl-C, that thread
    is made to raise at its next line of Python; in a library's own code it goes on to the end of the call, and what it
    returns is dropped. Another piece of work waits for that.

    Args:
        work: writes to nothing that outlives it; a model is converted, say.
        progress: asked whether to stop.

    Raises:
        Cancelled: the user asked for that.
        BaseException: whatever `work` raises.
    """
    if isinstance(threading.current_thread(), _Thread):
        return work()
    _left.wait(progress)
    thread = _Thread(work)
    thread.start()
    try:
        while not thread.ended.wait(_LOOK_S):
            progress.check()
    except BaseException:
        thread.stop()
        if thread.is_alive():
            _left.threads.append(thread)
        raise
    return thread.result()


class _Left:
    """Threads whose work is wanted no more, but goes on in a library's code."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def wait(self, progress: Progress) -> None:
        """Until they have ended: what they change for a while (filters of warnings, flags of torch's) is then back."""
        while self.threads:
            progress.report("Waiting for the end of what was cancelled", None)
            self.threads[0].join(_LOOK_S)
            self.threads = [each for each in self.threads if each.is_alive()]


_left = _Left()


class _Thread(threading.Thread, Generic[_T]):
    """Does one piece of work, and can be stopped."""

    def __init__(self, work: Callable[[], _T]) -> None:
        super().__init__(name="jupyter-optim-work", daemon=True)
        self._work, self._context = work, contextvars.copy_context()
        self._circumstances = _circumstances()
        self._found: list[_T] = []
        self._error: BaseException | None = None
        self._stoppable = threading.Lock()
        self._working = True
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._do()
        except _Stopped:
            pass  # it was told to stop as it ended
        finally:
            self.ended.set()

    def _do(self) -> None:
        try:
            with self._circumstances():
                self._found.append(self._context.run(self._work))
        except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
            self._error = error
        with self._stoppable:
            self._working = False

    def stop(self) -> None:
        """Have it raise, again where that was caught, and wait a little for its end."""
        ends = time.monotonic() + _GRACE_S
        while True:
            with self._stoppable:
                if not self._working:
                    return
                _raise_in(self, _Stopped)
            if self.ended.wait(_LOOK_S) or time.monotonic() > ends:
                return

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._found[0]


def _raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))


def _circumstances() -> Callable[[], Any]:
    """What torch keeps for each thread, as it is in this one: a context for another."""
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    threads, device = torch.get_num_threads(), torch.get_default_device()

    @contextmanager
    def same() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(inference))
            stack.enter_context(torch.set_grad_enabled(grad))
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if device != torch.get_default_device():
                stack.enter_context(device)
            yield

    return same
