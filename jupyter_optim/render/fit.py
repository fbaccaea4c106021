"""The report as a notebook stores it: short of its smallest rows if it would else be too large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from jupyter_optim.render import format as fmt
from jupyter_optim.report import Line, ModuleRow, Op, Report

JSON_BYTES = 130_000
"""Most that the report's JSON takes of a run; html, picture and text need the rest."""
RUN_BYTES = 298_000
"""Most that all forms of a report take together: 300 KB, with some room for how JSON is spaced."""

_NAMES = 50
_CELL_CHARACTERS = 20_000
_ROW_NAMES = {"ops": "op row", "modules": "module", "lines": "line"}

_R = TypeVar("_R", Op, ModuleRow, Line)


def fitted(report: Report, limit: int = JSON_BYTES) -> Report:
    """`report`, or one of at most about `limit` bytes of JSON that says in its trace what was left out."""
    if len(report.to_json()) <= limit:
        return report
    replace = msgspec.structs.replace
    brief = replace(
        report,
        ops=(), modules=(), lines=(),
        findings=tuple(replace(each, modules=each.modules[:_NAMES], evidence=each.evidence[:_NAMES])
                       for each in report.findings),
        cell=report.cell if report.cell is None or len(report.cell) <= _CELL_CHARACTERS else None,
    )  # fmt: skip
    room = max(0, limit - len(brief.to_json()) - 400)
    lines = _dearest(report.lines, lambda line: line.ms, int(room * 0.2))
    modules = _dearest(report.modules, lambda row: row.total_ms, int(room * 0.4))
    ops = _dearest(report.ops, lambda op: op.self_ms, room - _size(lines) - _size(modules))
    left = {"ops": len(report.ops) - len(ops), "modules": len(report.modules) - len(modules),
            "lines": len(report.lines) - len(lines)}  # fmt: skip
    trace = replace(report.trace, reason=_reason(report.trace.reason, left))
    return replace(brief, ops=ops, modules=modules, lines=lines, trace=trace)


def _dearest(rows: Sequence[_R], cost: Callable[[_R], float], room: int) -> tuple[_R, ...]:
    """As many rows as fit into `room` bytes, those that cost most first, in the order in which they came."""
    kept = set()
    for i in sorted(range(len(rows)), key=lambda i: -cost(rows[i])):
        room -= _bytes(rows[i])
        if room < 0:
            break
        kept.add(i)
    return tuple(row for i, row in enumerate(rows) if i in kept)


def _size(rows: Sequence[Op | ModuleRow | Line]) -> int:
    return sum(map(_bytes, rows))


def _bytes(row: Op | ModuleRow | Line) -> int:
    # figures are cut to six digits when the report is written, so this is rather too much than too little
    return len(msgspec.json.encode(row)) + 1


def _reason(reason: str | None, left: dict[str, int]) -> str:
    words = ", ".join(fmt.plural(number, _ROW_NAMES[kind]) for kind, number in left.items() if number)
    cut = f"to keep the notebook small, {words} with the least time are left out here" if words else ""
    return "; ".join(part for part in (reason, cut) if part)
