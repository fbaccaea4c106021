"""Look now and then at which line of the user's code a thread is in: what is left when exact tracing has ended.

Tracing each line of a long cell would slow it down. Looking at the stack a few hundred times a second costs next to
nothing, however much the cell does, and gives shares that are right to within the noise of the sample.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from jupyter_optim.profiling.lines.user_code import UserCode

_INTERVAL_S = 0.002
_SLOWEST_S = 0.02
"""The interval grows with the length of the cell, up to this."""

Place = tuple[str, int]
"""A line: the file name that it was compiled under, and its number."""


class StackSampler:
    """While it is entered, samples the stack of the thread that entered it, as soon as `ready` says so.

    Each sample counts for the time since the one before: a thread that keeps the interpreter's lock is looked at
    late, and rarely.

    Attributes:
        inclusive: by line, nanoseconds during which it was on the stack.
        own: by line, nanoseconds during which it was the innermost line of the user's.
        total_ns: nanoseconds that were sampled.
        samples: how many there are.
    """

    def __init__(self, code: UserCode, *, ready: Callable[[], bool] = lambda: True) -> None:
        self.inclusive: dict[Place, int] = {}
        self.own: dict[Place, int] = {}
        self.total_ns = 0
        self.samples = 0
        self._code = code
        self._ready = ready
        self._paused = False
        self._resumed_ns = 0
        self._thread_id = 0
        self._outer: set[FrameType] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread_id = threading.get_ident()
        # the frames that are running now belong to whoever entered, not to what is watched
        self._outer = set(_frames(sys._getframe()))  # noqa: SLF001 (documented, if with an underscore)
        self._thread = threading.Thread(target=self._run, name="jupyter-optim-lines", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._outer.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What the thread does meanwhile is not the user's, and counts for no line."""
        self._paused = True
        try:
            yield
        finally:
            self._resumed_ns = time.perf_counter_ns()
            self._paused = False

    def _run(self) -> None:
        last = time.perf_counter_ns()
        interval = _INTERVAL_S
        while not self._ended.wait(interval):
            now = time.perf_counter_ns()
            since = max(last, self._resumed_ns)
            if self._ready() and not self._paused and now > since:
                self._look(now - since)
                interval = min(_SLOWEST_S, max(_INTERVAL_S, self.total_ns * 1e-9 / 1000))
            last = now

    def _look(self, elapsed_ns: int) -> None:
        seen: list[Place] = []
        for frame in _frames(sys._current_frames().get(self._thread_id)):  # noqa: SLF001 (as above)
            if frame in self._outer:
                break
            name = frame.f_code.co_filename
            if frame.f_lineno is not None and self._code.place(name) is not None:
                seen.append((name, frame.f_lineno))
        self.total_ns += elapsed_ns
        self.samples += 1
        if seen:
            self.own[seen[0]] = self.own.get(seen[0], 0) + elapsed_ns
        for place in set(seen):
            self.inclusive[place] = self.inclusive.get(place, 0) + elapsed_ns


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """`frame`, and those that called it, outwards."""
    while frame is not None:
        yield frame
        frame = frame.f_back
