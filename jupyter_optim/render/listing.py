"""The cell as its author sees it, with the time of each line beside it."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_optim.report import Line, Report

THIS_CELL = "this cell"
HOT_SHARE = 0.1
"""A line with this much of the time or more is called hot."""

_WHOLE = 40
"""A cell of so many lines is shown whole; of a longer one, what lies around its dearest lines."""
_DEAREST = 12
_AROUND = 1


@dataclass(frozen=True, slots=True)
class ListedLine:
    """One line of the cell, or a gap of `skipped` lines that cost little or nothing."""

    lineno: int
    text: str
    cost: Line | None = None
    skipped: int = 0

    @property
    def hot(self) -> bool:
        """Whether a reader should look here first."""
        return self.cost is not None and self.cost.share >= HOT_SHARE


def listing(report: Report) -> tuple[ListedLine, ...]:
    """The cell's lines with what they cost; empty if the cell is not known, or none of its lines was timed."""
    texts = (report.cell or "").splitlines()
    costs = {line.lineno: line for line in reversed(in_cell(report))}
    if not costs:
        return ()
    keep = set(range(1, len(texts) + 1)) if len(texts) <= _WHOLE else _around_dearest(costs, len(texts))
    rows: list[ListedLine] = []
    at = 1
    for lineno in sorted(keep):
        if lineno > at:
            rows.append(ListedLine(at, "", skipped=lineno - at))
        rows.append(ListedLine(lineno, texts[lineno - 1], costs.get(lineno)))
        at = lineno + 1
    if at <= len(texts):
        rows.append(ListedLine(at, "", skipped=len(texts) + 1 - at))
    return tuple(rows)


def in_cell(report: Report) -> tuple[Line, ...]:
    """The timed lines that are lines of the report's cell, dearest first."""
    length = len((report.cell or "").splitlines())
    found = (line for line in report.lines if line.source == THIS_CELL and 1 <= line.lineno <= length)
    return tuple(sorted(found, key=lambda line: -line.ms))


def _around_dearest(costs: dict[int, Line], length: int) -> set[int]:
    dearest = sorted(costs, key=lambda lineno: -costs[lineno].ms)[:_DEAREST]
    return {
        lineno
        for each in dearest
        for lineno in range(max(1, each - _AROUND), min(length, each + _AROUND) + 1)
    }
