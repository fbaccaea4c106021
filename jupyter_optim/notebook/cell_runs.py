"""Which cell ran when, on the kernel's main thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from jupyter_optim.report import CellRun

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

_KEPT = 64


class CellRuns:
    """Follows the cells of a shell, and keeps the newest."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._done: deque[CellRun] = deque(maxlen=_KEPT)
        self._running: CellRun | None = None
        self._depth = 0
        self.quiet_since_s = time.monotonic()
        """When the last cell ended."""
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    @property
    def running(self) -> bool:
        """Whether a cell runs now."""
        return self._running is not None

    def recent(self, seconds: float) -> tuple[CellRun, ...]:
        """The cells that ran within the last `seconds`, the oldest first."""
        since_s = time.monotonic() - seconds
        with self._lock:
            done = [run for run in self._done if run.ended_s is not None and run.ended_s >= since_s]
            return (*done, *([self._running] if self._running else []))

    def if_running(self, act: Callable[[], None]) -> None:
        """Do `act` if a cell runs now; the cell does not end before `act` has."""
        with self._lock:
            if self._running is not None:
                act()

    def _begin(self, info: ExecutionInfo) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a cell of a subshell
        self._depth += 1
        if self._depth > 1:
            return  # a cell that runs another one
        number = self._number() if info.store_history else None
        with self._lock:
            self._running = CellRun(number=number, began_s=time.monotonic(), ended_s=None)

    def _number(self) -> int | None:
        """The number of the cell that begins."""
        # IPython 9 has raised `execution_count` by now, IPython 8 has not
        history = self._shell.history_manager
        return None if history is None else len(history.input_hist_raw)

    def _end(self, _: object) -> None:
        if threading.current_thread() is not threading.main_thread() or self._depth == 0:
            return  # of a subshell, or begun before we looked
        self._depth -= 1
        if self._depth > 0 or self._running is None:
            return
        with self._lock:
            self.quiet_since_s = time.monotonic()
            self._done.append(msgspec.structs.replace(self._running, ended_s=self.quiet_since_s))
            self._running = None
