"""Cells and buttons take turns with the model: it is never exchanged while a cell may be using it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jupyter_optim.errors import Cancelled

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

_LOOK_S = 0.2


class Turns:
    """Knows whether a cell is running, and holds back what must not happen meanwhile."""

    def __init__(self, shell: InteractiveShell | None) -> None:
        self._changed = threading.Condition()
        # made inside a cell, mostly, whose beginning was not heard of
        self._cell: object = None if shell is None else shell.displayhook.exec_result
        self._waiting = False
        if shell is not None:
            shell.events.register("pre_run_cell", self._cell_begins)
            shell.events.register("post_run_cell", self._cell_ends)

    def between_cells(self, act: Callable[[], None], *, wait: Callable[[], bool]) -> None:
        """Do `act` while no cell is running; one that would begin meanwhile begins afterwards.

        Args:
            act: takes a moment only.
            wait: called a few times a second while a cell is running; False ends the waiting.

        Raises:
            Cancelled: `wait` returned False; nothing was done.
        """
        if threading.current_thread() is threading.main_thread():
            act()  # it is the running cell that asks
            return
        with self._changed:
            while self._cell is not None and not self._waiting:
                if not wait():
                    raise Cancelled("Cancelled: the model is as it was before.")
                self._changed.wait(_LOOK_S)
            act()

    @contextmanager
    def given_away(self) -> Iterator[None]:
        """The running cell does nothing but wait meanwhile."""
        self._set_waiting(True)
        try:
            yield
        finally:
            self._set_waiting(False)

    def _set_waiting(self, value: bool) -> None:
        with self._changed:
            self._waiting = value
            self._changed.notify_all()

    def _cell_begins(self, info: ExecutionInfo) -> None:
        with self._changed:
            # a cell may run another, which is then a part of it
            self._cell = self._cell or (info.raw_cell, info.cell_id)

    def _cell_ends(self, result: ExecutionResult | None) -> None:
        with self._changed:
            info = None if result is None else result.info
            ended = None if info is None else (info.raw_cell, info.cell_id)
            # the text tells a cell from those that it runs: after some errors IPython makes the info anew
            if ended is None or not isinstance(self._cell, tuple) or ended == self._cell:
                self._cell = None
                self._changed.notify_all()
