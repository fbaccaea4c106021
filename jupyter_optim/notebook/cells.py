"""Which notebook cell a file name stands for: IPython compiles each cell under a name of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_optim.profiling.lines.user_code import Cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CellNames:
    """Names the cells of a shell ``cell [3]``, by the number that their prompt shows.

    Args:
        shell: whose cells they are.
        running: the file name of the cell that is being measured, which is ``this cell``.
    """

    def __init__(self, shell: InteractiveShell, running: str | None = None) -> None:
        self._shell = shell
        self._running = running

    def __call__(self, filename: str) -> Cell | None:
        if filename == self._running:
            return Cell("this cell")  # it was put where the editor shows it
        named = self._shell.compile.format_code_name(filename)
        number = None if named is None else re.fullmatch(r"In\[(\d+)\]", named[1])
        if number is None:
            return None
        return Cell(f"cell [{number[1]}]", self._blank_lines(int(number[1])))

    def _blank_lines(self, number: int) -> int:
        """Blank lines at the cell's top: the editor counts them, and IPython strips them."""
        history = self._shell.history_manager
        cells = [] if history is None else history.input_hist_raw
        text = cells[number] if 0 < number < len(cells) else ""
        # where one of our magics ran the cell, its lines are where the editor shows them
        if text.lstrip().startswith("%%optimize"):
            return 0
        return len(text) - len(text.lstrip("\n"))
