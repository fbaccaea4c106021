"""Be told of the user's lines by `sys.monitoring`, which Python has from 3.12 on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType
from typing import Any

from jupyter_optim.profiling.lines.open_lines import TRACED_BY_OTHERS, OpenLines
from jupyter_optim.profiling.lines.user_code import UserCode

_monitoring: Any = getattr(sys, "monitoring", None)

_TOOL = "jupyter_optim: lines"
_FREE = (4, 3, 5, 2)
"""Ids to take, best first: Python means none for 4 and 3, and `cProfile`, which a cell may use, needs 2."""
_NONE_FREE = "other tools hold all that Python has for telling of lines"

# the documented way to the frame that a callback is about
_frame = sys._getframe  # noqa: SLF001 (documented, if with an underscore)


def available() -> bool:
    """Whether this Python has it."""
    return _monitoring is not None


class Monitoring:
    """Python tells of each function where it begins, once: then of the lines of the user's only.

    So code of libraries runs at its full speed, and pausing is for the sake of what is told alone. All threads tell;
    those that did not start it are not listened to.
    """

    def __init__(self, code: UserCode, opened: OpenLines) -> None:
        self.announced: Callable[[], bool] = lambda: False
        self._user = code
        self._open = opened
        self._codes: list[CodeType] = []
        self._names: dict[int, dict[int, str]] = {}
        """By the identity of the user's code, which is kept alive for that: names of its lines, by their numbers."""
        self._starts: dict[int, Any] = {}
        """What is answered where it starts."""
        self._tool: int | None = None
        self._thread = 0
        self._paused = False

    def start(self) -> str | None:
        if sys.gettrace() is not None or _held_by_others():
            return TRACED_BY_OTHERS
        tool = next((each for each in _FREE if _monitoring.get_tool(each) is None), None)
        if tool is None:
            return _NONE_FREE
        _monitoring.use_tool_id(tool, _TOOL)
        self._tool, self._thread, self._paused = tool, get_ident(), False
        for event, callback in self._callbacks().items():
            _monitoring.register_callback(tool, event, callback)
        # what was met under this id before, by whomever, is told of anew
        _monitoring.restart_events()
        events = _monitoring.events
        _monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW | events.PY_UNWIND)
        return None

    def stop(self) -> None:
        tool, self._tool = self._tool, None
        if tool is None:
            return
        _monitoring.set_events(tool, 0)
        for code in self._codes:
            _monitoring.set_local_events(tool, code, 0)
        self._codes.clear()
        self._names.clear()
        self._starts.clear()
        for event in self._callbacks():
            _monitoring.register_callback(tool, event, None)
        _monitoring.free_tool_id(tool)

    def pause(self) -> bool:
        self._paused = True
        return True

    def resume(self) -> None:
        self._paused = False

    def wake(self) -> None:
        """Have the next function that is called told of, even a library's: it may be long until the user's go on."""
        _monitoring.restart_events()

    def _callbacks(self) -> dict[int, Callable[..., Any]]:
        events = _monitoring.events
        return {
            events.PY_START: self._started, events.PY_RESUME: self._resumed, events.PY_THROW: self._thrown,
            events.LINE: self._stepped, events.PY_RETURN: self._left, events.PY_YIELD: self._left,
            events.PY_UNWIND: self._left,
        }  # fmt: skip

    def _started(self, code: CodeType, offset: int) -> Any:
        if id(code) not in self._names and not self._meet(code):
            return self._unmet(code)
        told = self._starts.get(id(code), self)
        if told is self:
            # one that begins in the line of its own `def` is told no new line there, so its start is told each time
            within = _line_at(code, offset) == _line_at(code, offset + 2)
            told = self._starts[id(code)] = None if within else _monitoring.DISABLE
        if told is None:
            self._go_on(code, _frame(1))
        return told

    def _resumed(self, code: CodeType, _offset: int) -> Any:
        if id(code) not in self._names and not self._meet(code):
            return self._unmet(code)
        self._go_on(code, _frame(1))
        return None

    def _thrown(self, code: CodeType, _offset: int, _error: BaseException) -> None:
        if id(code) in self._names or self._meet(code):
            self._go_on(code, _frame(1))

    def _meet(self, code: CodeType) -> bool:
        """Have the lines of some code told from here on, if they are the user's and this thread's; whether they are."""
        tool = self._tool
        if get_ident() != self._thread or tool is None:
            return False
        if self._open.expired:
            self._open.over()
            return False
        if self._user.place(code.co_filename) is None:
            return False
        self._codes.append(code)
        self._names[id(code)] = {}
        events = _monitoring.events
        _monitoring.set_local_events(tool, code, events.LINE | events.PY_RETURN | events.PY_YIELD)
        return True

    def _unmet(self, code: CodeType) -> Any:
        """What keeps Python from telling again where this code starts or goes on, unless that has to be asked again."""
        asked = self._open.expired or self._user.place(code.co_filename) is not None
        return None if asked else _monitoring.DISABLE

    def _go_on(self, code: CodeType, frame: FrameType) -> None:
        """A generator or coroutine goes on within a line, which tells no new one."""
        if frame.f_lineno is not None:
            self._step(code, frame.f_lineno, frame)

    def _stepped(self, code: CodeType, lineno: int) -> None:
        self._step(code, lineno, _frame(1))

    def _step(self, code: CodeType, lineno: int, frame: FrameType) -> None:
        names = self._names.get(id(code))
        if names is None or self._paused or get_ident() != self._thread:
            return
        name = names.get(lineno)
        if name is None:
            name = names[lineno] = self._open.name(code, lineno)
        self._open.step(frame, name)

    def _left(self, code: CodeType, _offset: int, _value: Any) -> None:
        # those that raise are told of libraries too
        if id(code) in self._names and get_ident() == self._thread:
            self._open.leave(_frame(1))


def _held_by_others() -> bool:
    """Whether a debugger or a coverage tool is told of anything, or another of ours of lines."""
    others = (_monitoring.DEBUGGER_ID, _monitoring.COVERAGE_ID)
    return any(
        _monitoring.get_tool(each) is not None and _monitoring.get_events(each) for each in others
    ) or any(_monitoring.get_tool(each) == _TOOL for each in _FREE)


def _line_at(code: CodeType, offset: int) -> int | None:
    """The line of the instruction at `offset`."""
    return next((line for start, end, line in code.co_lines() if start <= offset < end), None)
