"""``jupyter optim show``: the reports of a notebook as text."""

from __future__ import annotations

from pathlib import Path

from jupyter_optim.cli.saved import read_reports
from jupyter_optim.render import to_text


def show(path: Path, width: int) -> int:
    """Print the reports in the file at `path`. Returns the exit status."""
    for number, saved in enumerate(read_reports(path)):
        print(f"{chr(10) * min(number, 1)}{saved.place}\n{'=' * len(saved.place)}\n")
        print(to_text(saved.report, width))
    return 0
