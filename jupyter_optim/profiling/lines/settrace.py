"""Be told of the user's lines by `sys.settrace`: what Python 3.11 has."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from torch import nn

from jupyter_optim.profiling.lines.open_lines import TRACED_BY_OTHERS, OpenLines
from jupyter_optim.profiling.lines.user_code import UserCode

Tracer = Callable[[FrameType, str, Any], Any]

_MODULE_CALL = nn.Module._call_impl.__code__
_AROUND_FORWARD = frozenset(
    id(each) for each in (_MODULE_CALL, *_MODULE_CALL.co_consts) if isinstance(each, CodeType)
)
"""Code of PyTorch's that calls a module's `forward`, between the global hooks."""

_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class SetTrace:
    """While Python traces, it runs every line of every library at half its speed or less.

    So it does not trace while it is paused, nor in what PyTorch does around a `forward`, where it is announced when
    modules begin and end.
    """

    def __init__(self, code: UserCode, opened: OpenLines) -> None:
        self.announced: Callable[[], bool] = lambda: False
        self._user = code
        self._open = opened
        self._codes: list[CodeType] = []
        self._stepped: dict[int, Tracer] = {}
        """By the identity of the code: what traces its lines."""
        self._started = False
        self._resting = False

    def start(self) -> str | None:
        if sys.gettrace() is not None:
            return TRACED_BY_OTHERS
        self._started, self._resting = True, False
        sys.settrace(self._called)
        return None

    def stop(self) -> None:
        self._started = self._resting = False
        if self._ours():
            sys.settrace(None)

    def pause(self) -> bool:
        if self._resting:
            return True
        if not self._ours():
            return False
        sys.settrace(None)
        self._resting = True
        return True

    def resume(self) -> None:
        self._resting = False
        sys.settrace(self._called)

    def wake(self) -> None:
        """Every call is told anyway."""

    def _ours(self) -> bool:
        """Whether it traces now: the cell may have set a tracer of its own meanwhile."""
        return getattr(sys.gettrace(), "__self__", None) is self

    # The hooks run for every call and line of the thread, so they do next to nothing for code of libraries, and little
    # for the user's: closures, since each attribute costs some 30 ns.

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        stepped = self._stepped.get(id(code))
        if stepped is None:
            stepped = self._tracer(code)
        if self._open.expired:
            self._open.over()
            return None
        if stepped is _library:
            if code is _MODULE_CALL and self.announced():
                self._rest_until_told()
            return None
        if code.co_flags & _RESUMED:
            stepped(frame, "line", None)  # it goes on within a line, which tells no new one
        return stepped

    def _rest_until_told(self) -> None:
        """Trace nothing until a module begins or ends, which is next."""
        if self._started:
            sys.settrace(None)
            self._resting = True

    def _tracer(self, code: CodeType) -> Tracer:
        """What traces the lines of some code; `_library` for code that is not the user's."""
        # its identity stands for it, so it is kept alive: its hash is computed anew each time, from all of it
        self._codes.append(code)
        if self._user.place(code.co_filename) is None:
            self._stepped[id(code)] = _library
            return _library
        opened, names = self._open, dict[int | None, str]()
        stack, step = opened.stack, opened.step
        # a hook that the user has set returns to the same place, and what comes next is not told
        is_forward = code.co_name == "forward"

        def stepped(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                lineno = frame.f_lineno
                name = names.get(lineno)
                if name is None:
                    if lineno is None:
                        return stepped  # instructions of the compiler's own
                    name = names[lineno] = opened.name(code, lineno)
                step(frame, name)
            elif event == "return":
                if stack and stack[-1][0] is frame:
                    stack.pop()[2].__exit__(None, None, None)
                else:
                    opened.leave(frame)
                caller = frame.f_back if is_forward else None
                if caller is not None and id(caller.f_code) in _AROUND_FORWARD and self.announced():
                    self._rest_until_told()
            return stepped

        self._stepped[id(code)] = stepped
        return stepped


def _library(frame: FrameType, event: str, arg: Any) -> None:
    """Stands for code that is not the user's; never called."""
