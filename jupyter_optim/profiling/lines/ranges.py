"""Open a range in the trace for each line of the user's code that runs, so that attribution is containment."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

import torch

from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.trace.columns import LINE_RANGE

# The fast range costs 0.4 us against 6.5 us of `record_function`; private, hence the fall-back.
_Range: Any = getattr(torch._C._profiler, "_RecordFunctionFast", torch.profiler.record_function)

LINE_BUDGET = 10_000
"""Ranges after which the tracing of lines ends: a loop in plain Python would fill the trace."""

_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class LineRanges:
    """While it is entered, each line of the user's code that this thread runs is a range named by its number.

    `lines[n]` is line number n: the file name it was compiled under, and its number there. It uses
    `sys.settrace`; where a debugger or a coverage tool holds that, it gives way, and `obstacle` says so.

    A statement over several lines is several ranges: what a call takes lies in the line that carries the call.
    """

    def __init__(self, code: UserCode, *, on_end: Callable[[], None] | None = None) -> None:
        self.lines: list[tuple[str, int]] = []
        self.obstacle: str | None = None
        self.expired = False
        """Set it, from any thread, to end the tracing at the next line."""
        self._user = code
        self._on_end = on_end
        self._left = LINE_BUDGET
        self._wanted: dict[CodeType, bool] = {}
        self._numbers: dict[tuple[CodeType, int], int] = {}
        self._known: dict[tuple[str, int], int] = {}
        self._names: list[str] = []
        self._open: list[tuple[FrameType, int, Any]] = []
        self._running = False

    @property
    def running(self) -> bool:
        return self._running

    def __enter__(self) -> Self:
        if sys.gettrace() is not None:
            self.obstacle = "a debugger or a coverage tool was tracing the lines"
            return self
        self._running = True
        sys.settrace(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the tracing; again does nothing. Must be called in the thread that entered."""
        if not self._running:
            return
        self._running = False
        # the cell may have set a tracer of its own meanwhile
        if getattr(sys.gettrace(), "__self__", None) is self:
            sys.settrace(None)
        while self._open:
            self._open.pop()[2].__exit__(None, None, None)
        if self._on_end is not None:
            self._on_end()

    # The hooks run for every call and line of the thread, so they do next to nothing for code of libraries.

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        wanted = self._wanted.get(code)
        if wanted is None:
            wanted = self._wanted[code] = self._user.place(code.co_filename) is not None
        if self.expired:
            self.stop()
            return None
        if not wanted:
            return None
        if code.co_flags & _RESUMED:
            self._begin(frame)  # it goes on within a line, which tells no new one
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._begin(frame)
        elif event == "return":
            self._end(frame)
        return self._stepped

    def _begin(self, frame: FrameType) -> None:
        lineno = frame.f_lineno
        if lineno is None:
            return  # instructions of the compiler's own
        number = self._numbers.get((frame.f_code, lineno))
        if number is None:
            number = self._number(frame.f_code, lineno)
        opened = self._open
        if opened and opened[-1][0] is frame:
            if opened[-1][1] == number:
                return
            opened.pop()[2].__exit__(None, None, None)
        self._left -= 1
        if self._left < 0 or self.expired:
            self.stop()
            return
        entered = _Range(self._names[number])
        opened.append((frame, number, entered))
        entered.__enter__()

    def _end(self, frame: FrameType) -> None:
        opened = self._open
        if any(each[0] is frame for each in reversed(opened)):
            # frames above it, if any, were left without a word
            while opened:
                left, _, entered = opened.pop()
                entered.__exit__(None, None, None)
                if left is frame:
                    return

    def _number(self, code: CodeType, lineno: int) -> int:
        line = (code.co_filename, lineno)
        number = self._known.get(line)
        if number is None:
            number = self._known[line] = len(self.lines)
            self.lines.append(line)
            self._names.append(f"{LINE_RANGE}{number}")
        self._numbers[code, lineno] = number
        return number
