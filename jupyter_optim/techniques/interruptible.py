"""Long work that asks nobody whether to go on, done so that *Cancel* takes effect within a second."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch

from jupyter_optim.progress import Progress

_T = TypeVar("_T")

_LOOK_S = 0.05
_GRACE_S = 0.5
"""How long work that is wanted no more is waited for."""


def interruptible(work: Callable[[], _T], progress: Progress) -> _T:
    """What `work` returns, or raises.

    It runs in a thread of its own, in this thread's circumstances. Once *Cancel* was pressed, or Ctrl-C, nobody waits
    for it any more: it goes on to its next look at `progress`, or to its end, and what it returns is dropped;
    `wait_for_cancelled` is for whoever works next. (To raise an exception in that thread from here would end it sooner,
    and may leave a lock of a library's taken for good.)

    Args:
        work: writes to nothing that outlives it; a model is converted, say.
        progress: asked whether to stop.

    Raises:
        Cancelled: the user asked for that.
        BaseException: whatever `work` raises.
    """
    if isinstance(threading.current_thread(), _Thread):
        return work()
    thread = _Thread(work)
    thread.start()
    try:
        while not thread.ended.wait(_LOOK_S):
            progress.check()
    except BaseException:
        progress.cancel()
        if not thread.ended.wait(_GRACE_S):
            _left.append(thread)
        raise
    return thread.result()


def wait_for_cancelled(progress: Progress) -> None:
    """Wait for the end of work that is wanted no more: libraries change global flags while they are at it.

    Raises `Cancelled` if the user will not wait.
    """
    while _left:
        progress.report("Waiting for the end of what was cancelled", None)
        _left[0].join(_LOOK_S)
        _left[:] = [each for each in _left if each.is_alive()]


_left: list[threading.Thread] = []


class _Thread(threading.Thread, Generic[_T]):
    """Does one piece of work."""

    def __init__(self, work: Callable[[], _T]) -> None:
        super().__init__(name="jupyter-optim-work", daemon=True)
        self._work, self._context = work, contextvars.copy_context()
        self._circumstances = _circumstances()
        self._found: list[_T] = []
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            with self._circumstances():
                self._found.append(self._context.run(self._work))
        except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
            self._error = error
        self.ended.set()

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._found[0]


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
