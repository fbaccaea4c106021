"""Open a range in the trace for each line of the user's code that runs, so that attribution is containment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from torch import nn

from jupyter_optim.profiling.lines.library_modules import LibraryModules
from jupyter_optim.profiling.lines.monitoring import Monitoring, available
from jupyter_optim.profiling.lines.open_lines import LINE_BUDGET, OpenLines
from jupyter_optim.profiling.lines.settrace import SetTrace
from jupyter_optim.profiling.lines.user_code import UserCode


class Told(Protocol):
    """A way of being told by Python which lines of the user's the thread that starts it runs."""

    announced: Callable[[], bool]
    """Whether each call of a module is announced by `pause`, at its beginning and end, before other code runs there."""

    def start(self) -> str | None:
        """Be told from now on, unless others are in the way: then what to say of them."""

    def stop(self) -> None:
        """Be told no more."""

    def pause(self) -> bool:
        """Be told nothing until `resume`; False if it was not told any more, and shall not be."""

    def resume(self) -> None:
        """Be told again."""

    def wake(self) -> None:
        """Look soon, from whatever code runs, whether the time has expired; called in any thread."""


class LineRanges:
    """While it is entered, each line of the user's code that this thread runs is a range named by its number.

    `lines[n]` is line number n: the file name it was compiled under, and its number there. Where a debugger or a
    coverage tool is told of the lines, it gives way, and `obstacle` says so.

    A statement over several lines is several ranges: what a call takes lies in the line that carries the call.

    Nothing is told within modules that hold no code of the user's, once it knows where modules begin and end: see
    `hold` and `announced`.

    Args:
        code: says which code is the user's.
        on_end: called when no more lines are told.
        monitoring: whether Python tells by `sys.monitoring`, or else by `sys.settrace`, which is much slower from
            Python 3.12 on; by default, if it can.
    """

    def __init__(
        self, code: UserCode, *, on_end: Callable[[], None] | None = None, monitoring: bool | None = None
    ) -> None:
        self.obstacle: str | None = None
        self._user = code
        self._on_end = on_end
        self._open = OpenLines(self.stop)
        self.lines = self._open.lines
        by_monitoring = available() if monitoring is None else monitoring
        self._told: Told = Monitoring(code, self._open) if by_monitoring else SetTrace(code, self._open)
        self._running = False
        self._libraries = LibraryModules(code)
        self.within: nn.Module | None = None
        """The library's module that is running now, and in which nothing is told."""
        self._rested: nn.Module | None = None
        """The module after which nothing is told either."""
        self._thread = 0

    @property
    def running(self) -> bool:
        return self._running

    @property
    def expired(self) -> bool:
        """Set it, from any thread, to end at the next line or call."""
        return self._open.expired

    @expired.setter
    def expired(self, now: bool) -> None:
        news = now and not self._open.expired
        self._open.expired = now
        if news and self._running:
            self._told.wake()

    @property
    def announced(self) -> Callable[[], bool]:
        """Whether each call of a module is told by `hold`, at its beginning and end, before other code runs there."""
        return self._told.announced

    @announced.setter
    def announced(self, by: Callable[[], bool]) -> None:
        self._told.announced = by

    def __enter__(self) -> Self:
        self._open.left, self.within = LINE_BUDGET, None
        self._thread = threading.get_ident()
        self._running = True
        obstacle = self._told.start()
        if obstacle is not None:
            self.obstacle, self._running = obstacle, False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; again does nothing. Must be called in the thread that entered."""
        if not self._running:
            return
        self._running = False
        self._told.stop()
        self._open.close()
        if self._on_end is not None:
            self._on_end()

    def concerned(self, module: nn.Module) -> bool:
        """Whether any code of the user's may run in a call of `module`."""
        return not (self._called_by_library(module) and self._libraries.holds_none(module))

    def _called_by_library(self, module: nn.Module) -> bool:
        call = getattr(type(module).__call__, "__code__", None)
        return call is not None and self._user.place(call.co_filename) is None

    def rest(self, module: nn.Module) -> None:
        """Be told nothing until `module`, which is called next, begins, nor after it, unless the user has code there."""
        if self._running and self._called_by_library(module) and self._told.pause():
            self._rested = module

    def hold(self, module: nn.Module) -> bool:
        """Be told nothing from here on, if it was: a module begins or ends, and its hooks are at work.

        Returns:
            Whether it may go on; then say next that the module `begins` or `ends`.
        """
        # other threads may call modules too
        if not self._running or threading.get_ident() != self._thread:
            return False
        if self.within is not None:
            return self.within is module
        return self._told.pause()

    def begins(self, module: nn.Module) -> None:
        """A module's own code is next: go on, unless none of it is the user's."""
        if self.within is None and self._running:
            if self._libraries.holds_none(module):
                self.within = module
            else:
                self._told.resume()

    def ends(self, module: nn.Module) -> None:
        """What called a module is next: go on."""
        self.within = None
        if self._running and module is not self._rested:
            self._told.resume()
