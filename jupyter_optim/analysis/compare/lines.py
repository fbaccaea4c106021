"""Lines of the user's code side by side: which is which, though the cell was edited in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

from jupyter_optim.analysis.compare.comparison import LineChange
from jupyter_optim.analysis.compare.pair import Pair
from jupyter_optim.analysis.compare.rows import largest_first
from jupyter_optim.analysis.compare.side import time_or_0
from jupyter_optim.report import Line, Report

_ALIKE = 0.6


def line_changes(pair: Pair) -> tuple[LineChange, ...]:
    """Lines by the time of what they call."""
    reports = [side.report for side in pair.sides]
    # a cell's lines have the time of its own run, which has no clean timing
    own = all(report.workload.origin == "cell" for report in reports)
    scales = [1.0 if own else side.scale for side in pair.sides]
    ops = [Counter(op.line for op in report.ops) for report in reports]
    rows = []
    for both in _pairs(reports[0].lines, reports[1].lines):
        ms = [time_or_0(line.ms) * scale if line else None for line, scale in zip(both, scales, strict=True)]
        fewest = min(count[_place(line)] for line, count in zip(both, ops, strict=True) if line)
        first, shown = both[0], both[1] or both[0]
        if shown is not None:
            rows.append(
                pair.change(LineChange, _place(shown), ms, fewest, text=shown.text,
                            text_before=first.text if first else None, place_before=_place(first) if first else None)
            )  # fmt: skip
    return largest_first(rows)


def lines_reason(before: Report, after: Report, changed: bool) -> str | None:
    """Why the lines say less than they seem to; `changed` is whether the call did."""
    if bool(before.lines) != bool(after.lines):
        return f"the report {'after' if before.lines else 'before'} has none"
    if before.lines and (before.workload.origin == "cell") != (after.workload.origin == "cell"):
        return "one report has the lines of a whole run of the cell, the other those of one call"
    if changed and before.lines and before.lines == after.lines:
        return (
            "both reports have the lines of the same run of the cell: run it again to see what they cost now"
        )
    return None


def _pairs(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Lines matched by place and text, then text in one source, then text anywhere, then place if nearly the same."""
    rules: tuple[Callable[[Line], object], ...] = (
        lambda line: (line.source, line.lineno, line.text.strip()),
        lambda line: (line.source, line.text.strip()),
        lambda line: line.text.strip(),
        lambda line: (line.source, line.lineno),
    )
    left, right = sorted(before, key=_in_order), sorted(after, key=_in_order)
    for rule in rules:
        waiting: dict[object, list[Line]] = defaultdict(list)
        for line in left:
            waiting[rule(line)].append(line)
        unmatched = []
        for line in right:
            found = waiting[rule(line)]
            if found and (rule is not rules[-1] or _alike(found[0].text, line.text)):
                yield found.pop(0), line
            else:
                unmatched.append(line)
        left = sorted((line for lines in waiting.values() for line in lines), key=_in_order)
        right = unmatched
    yield from ((line, None) for line in left)
    yield from ((None, line) for line in right)


def _alike(a: str, b: str) -> bool:
    """Whether one is the other after an edit: at the same place may as well stand something else."""
    first, second = sorted((a.strip()[:200], b.strip()[:200]))
    return SequenceMatcher(a=first, b=second, autojunk=False).ratio() >= _ALIKE


def _place(line: Line) -> str:
    return f"{line.source}:{line.lineno}"


def _in_order(line: Line) -> tuple[str, int]:
    return line.source, line.lineno
