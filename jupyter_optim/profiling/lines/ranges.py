"""Open a range in the trace for each line of the user's code that runs, so that attribution is containment."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

import torch
from torch import nn

from jupyter_optim.profiling.lines.library_modules import LibraryModules
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.trace.columns import LINE_RANGE

# The fast range costs 0.4 us against 6.5 us of `record_function`; private, hence the fall-back.
_Range: Any = getattr(torch._C._profiler, "_RecordFunctionFast", torch.profiler.record_function)

Tracer = Callable[[FrameType, str, Any], Any]

LINE_BUDGET = 10_000
"""Ranges after which the tracing of lines ends: a loop in plain Python would fill the trace."""

_MODULE_CALL = nn.Module._call_impl.__code__
_AROUND_FORWARD = frozenset(
    id(each) for each in (_MODULE_CALL, *_MODULE_CALL.co_consts) if isinstance(each, CodeType)
)
"""Code of PyTorch's that calls a module's `forward`, between the global hooks."""

_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class LineRanges:
    """While it is entered, each line of the user's code that this thread runs is a range named by its number.

    `lines[n]` is line number n: the file name it was compiled under, and its number there. It uses
    `sys.settrace`; where a debugger or a coverage tool holds that, it gives way, and `obstacle` says so.

    A statement over several lines is several ranges: what a call takes lies in the line that carries the call.

    While Python traces, it runs every line of every library at half its speed or less. So it does not trace within
    modules that hold no code of the user's, nor in what PyTorch does around a `forward`, once it is told where modules
    begin and end: see `hold` and `announced`.
    """

    def __init__(self, code: UserCode, *, on_end: Callable[[], None] | None = None) -> None:
        self.lines: list[tuple[str, int]] = []
        self.obstacle: str | None = None
        self.expired = False
        """Set it, from any thread, to end the tracing at the next line."""
        self._user = code
        self._on_end = on_end
        self._left = LINE_BUDGET
        self._codes: list[CodeType] = []
        self._stepped: dict[int, Tracer] = {}
        """By the identity of the code: what traces its lines."""
        self._names: dict[tuple[str, int], str] = {}
        self._open: list[tuple[FrameType, str, Any]] = []
        self._running = False
        self._libraries = LibraryModules(code)
        self.announced: Callable[[], bool] = lambda: False
        """Whether each call of a module is told by `hold`, at its beginning and end, before other code runs there."""
        self.within: nn.Module | None = None
        """The library's module that is running now, and in which nothing is traced."""
        self._rested: nn.Module | None = None
        """The module after which nothing is traced either."""
        self._thread = 0
        self._resting = False

    @property
    def running(self) -> bool:
        return self._running

    def __enter__(self) -> Self:
        if sys.gettrace() is not None:
            self.obstacle = "a debugger or a coverage tool was tracing the lines"
            return self
        self._running, self._resting, self._left, self.within = True, False, LINE_BUDGET, None
        self._thread = threading.get_ident()
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

    def concerned(self, module: nn.Module) -> bool:
        """Whether any code of the user's may run in a call of `module`."""
        return not (self._called_by_library(module) and self._libraries.holds_none(module))

    def _called_by_library(self, module: nn.Module) -> bool:
        call = getattr(type(module).__call__, "__code__", None)
        return call is not None and self._user.place(call.co_filename) is None

    def rest(self, module: nn.Module) -> None:
        """Trace nothing until `module`, which is called next, begins, nor after it, unless the user has code there."""
        if (
            self._running
            and self._called_by_library(module)
            and getattr(sys.gettrace(), "__self__", None) is self
        ):
            sys.settrace(None)
            self._resting, self._rested = True, module

    def hold(self, module: nn.Module) -> bool:
        """Trace nothing from here on, if it was: a module begins or ends, and its hooks are at work.

        Returns:
            Whether the tracing may go on; then say next that the module `begins` or `ends`.
        """
        # other threads may call modules too
        if not self._running or threading.get_ident() != self._thread:
            return False
        if self.within is not None:
            return self.within is module
        if self._resting:
            self._resting = False
            return True
        # the cell may have set a tracer of its own meanwhile
        if getattr(sys.gettrace(), "__self__", None) is not self:
            return False
        sys.settrace(None)
        return True

    def begins(self, module: nn.Module) -> None:
        """A module's own code is next: go on with the tracing, unless none of it is the user's."""
        if self.within is None and self._running:
            if self._libraries.holds_none(module):
                self.within = module
            else:
                sys.settrace(self._called)

    def ends(self, module: nn.Module) -> None:
        """What called a module is next: go on with the tracing."""
        self.within = None
        self._resting = self._running and module is self._rested
        if self._running and not self._resting:
            sys.settrace(self._called)

    # The hooks run for every call and line of the thread, so they do next to nothing for code of libraries, and little
    # for the user's: closures, since each attribute costs some 30 ns.

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        stepped = self._stepped.get(id(code))
        if stepped is None:
            stepped = self._tracer(code)
        if self.expired:
            self.stop()
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
        if self._running:
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

        def stepped(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                lineno = frame.f_lineno
                name = names.get(lineno)
                if name is None:
                    if lineno is None:
                        return stepped  # instructions of the compiler's own
                    name = names[lineno] = self._name(code, lineno)
                if opened and opened[-1][0] is frame:
                    if opened[-1][1] is name:
                        return stepped
                    opened.pop()[2].__exit__(None, None, None)
                self._left -= 1
                if self._left < 0 or self.expired:
                    self.stop()
                    return stepped
                entered = _Range(name)
                opened.append((frame, name, entered))
                entered.__enter__()
            elif event == "return":
                self._end(frame)
                caller = frame.f_back
                if caller is not None and id(caller.f_code) in _AROUND_FORWARD and self.announced():
                    self._rest_until_told()
            return stepped

        self._stepped[id(code)] = stepped
        return stepped

    def _end(self, frame: FrameType) -> None:
        opened = self._open
        if opened and opened[-1][0] is frame:
            opened.pop()[2].__exit__(None, None, None)
        elif any(each[0] is frame for each in opened):
            # frames above it were left without a word
            while opened:
                left, _, entered = opened.pop()
                entered.__exit__(None, None, None)
                if left is frame:
                    return

    def _name(self, code: CodeType, lineno: int) -> str:
        """The name of a line's range; one string for each line, whatever code it is in."""
        line = (code.co_filename, lineno)
        name = self._names.get(line)
        if name is None:
            name = self._names[line] = f"{LINE_RANGE}{len(self.lines)}"
            self.lines.append(line)
        return name


def _library(frame: FrameType, event: str, arg: Any) -> None:
    """Stands for code that is not the user's; never called."""
