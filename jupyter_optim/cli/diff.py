"""``jupyter optim diff``: what got faster, what slower, and what is noise, from one file to another."""

from __future__ import annotations

from pathlib import Path

from jupyter_optim.analysis.compare import compare
from jupyter_optim.cli.pairs import paired
from jupyter_optim.cli.saved import Saved, read_reports
from jupyter_optim.errors import InvalidReport
from jupyter_optim.render import comparison_text


def diff(before: Path, after: Path, width: int) -> int:
    """Print the comparison of each pair of reports. Returns the exit status.

    Raises:
        InvalidReport: a file holds no report, or no report of one belongs to one of the other.
    """
    found = paired(read_reports(before), read_reports(after), by_all_means=True)
    if not found.pairs:
        raise InvalidReport(
            f"No report of {before.name} belongs to one of {after.name}: they measure different models."
        )
    for number, (old, new) in enumerate(found.pairs):
        title = f"{old.place} -> {new.place}"
        print(f"{chr(10) * min(number, 1)}{title}\n{'=' * len(title)}\n")
        print(comparison_text(compare(old.report, new.report), width))
    for path, alone in ((before, found.only_before), (after, found.only_after)):
        for saved in alone:
            print(f"\nOnly in {path.name}: {named(saved)}.")
    return 0


def named(saved: Saved) -> str:
    """A report in a few words: ``BertModel (cell [3])``."""
    return f"{saved.report.workload.model} ({saved.place})"
