"""A report for a terminal: some 60 lines for a typical model, and never wider than asked."""

from __future__ import annotations

import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from jupyter_optim.render import format as fmt
from jupyter_optim.render.compiled import compiled_table, fused_table
from jupyter_optim.render.facts import Fact, environment_facts, facts
from jupyter_optim.render.gpu import gpu_table, kernel_table
from jupyter_optim.render.headline import headline
from jupyter_optim.render.listing import ListedLine, in_cell, listing
from jupyter_optim.render.sections import (
    finding_title,
    group_table,
    history_table,
    line_table,
    module_table,
    op_table,
    recommendation_table,
)
from jupyter_optim.render.tables import NOTHING, Column, Table
from jupyter_optim.render.training import phase_table
from jupyter_optim.render.unseen import unseen_sentence
from jupyter_optim.report import Finding, Report

WIDTH = 100
NARROWEST = 40
"""Below this, words no longer fit beside their figures."""

_ROWS = 4
_LISTED = 12
"""Lines of a cell that is shown whole."""

_GROUPS = 6
_STEPS = 6
_FINDINGS = 4
_SHOWN = {
    "groups": ("Group", "Time", "Share", ""),
    "modules": ("Module", "Self", "Share", "Class", "Computation", ""),
    "ops": ("Op", "Self", "Share", "Calls", "Computation", ""),
    "gpu": ("The GPU", "Time", "Share", "", "Note"),
    "kernels": ("Kernel", "Time", "Share", "Calls", "Op", "Tensor cores", "Occupancy", "Line", ""),
    "compiled": ("What", "Line", "Details", "What helps"),
    "fused-kernels": ("Kernel", "Calls", "Weights of", "Time", "Ops"),
    "phases": ("Phase", "Time", "Share", "", "Ops", "Memory", "Mostly"),
    "lines": ("Line", "Time", "Share", "Code", "Note", "", "Memory"),
    "recommendations": ("Remedy", "Predicted speed-up", "Technique", "Covers", "Predicted size", "Why"),
    "history": ("Step", "Verdict", "Speed-up (95% CI)", "State", "Size", "Note", "Quality"),
}
"""Columns for which a terminal has room, those that are given up last first; html has them all."""

_COMPARED = ("median", "peak", "weights")
"""Facts that are shown with their value at first."""

_LEFT_TO_HTML = ("trace",)


def render_text(report: Report, width: int | None = None, baseline: Report | None = None) -> str:
    """The report as text without colours.

    Args:
        report: what is shown.
        width: characters in a line, 100 if None; at least 40 are used.
        baseline: the report before any change, for figures before and after.
    """
    room = max(NARROWEST, width or WIDTH)
    lines = [line for part in _parts(report, room, baseline) for line in (*part, "")]
    return "\n".join(fit_line(line, room) for line in lines).rstrip()


def _parts(report: Report, width: int, baseline: Report | None) -> Iterator[list[str]]:
    opening = wrap(headline(report, baseline).replace("`", ""), width)
    if report.partial is not None:
        opening += wrap(f"This report is incomplete: {fmt.visible(report.partial)}", width)
    yield opening
    yield _facts(report, width, baseline)
    yield from _tables(width, group_table(report, _GROUPS))
    yield from _lines(report, width)
    yield from _tables(width, compiled_table(report, _STEPS), fused_table(report, _ROWS))
    yield from _tables(width, phase_table(report), gpu_table(report), kernel_table(report, _ROWS))
    beside = unseen_sentence(report)
    if beside is not None:
        yield wrap(beside.replace("`", ""), width)
    if report.findings:
        yield _findings(report.findings, width)
    yield from _tables(width, recommendation_table(report, _STEPS), history_table(report, _STEPS))
    yield from _tables(width, module_table(report, _ROWS), op_table(report, _ROWS))
    setup = _together(
        (name, words, f"{name} {words}") for name, words in environment_facts(report.environment)
    )
    yield _entry("Setup", setup, width)


def _tables(width: int, *tables: Table | None) -> Iterator[list[str]]:
    yield from (table_lines(each, _SHOWN[each.name], width) for each in tables if each is not None)


def _lines(report: Report, width: int) -> Iterator[list[str]]:
    """The cell with the time of each line, if it is short; else its hot lines."""
    rows = listing(report)
    if not rows or len(rows) > _LISTED:
        yield from _tables(width, line_table(report.lines, _ROWS))
        return
    sampled = (
        " (in part estimated)" if any(row.cost is not None and row.cost.estimated for row in rows) else ""
    )
    yield [f"This cell as it last ran, with the time of each line{sampled}", *(_listed(row) for row in rows)]
    listed = set(in_cell(report))
    elsewhere = [line for line in report.lines if line not in listed]
    yield from _tables(width, line_table(elsewhere, _ROWS, "Hot lines elsewhere"))


def _listed(row: ListedLine) -> str:
    if row.skipped:
        return f"{'…':>5}"
    cost, text = row.cost, fmt.visible(row.text.expandtabs(4))
    if cost is None:
        return f"{row.lineno:>5}{'':<28}{text}".rstrip()
    mark = f"{fmt.duration(cost.ms):>9} {fmt.share(cost.share):>5}  {fmt.bar(cost.share):<10}"
    return f"{row.lineno:>5}{mark:<28}{text}"


def _facts(report: Report, width: int, baseline: Report | None) -> list[str]:
    found = [fact for fact in facts(report, baseline) if fact.name not in _LEFT_TO_HTML]
    lines: list[str] = []
    for topic in dict.fromkeys(fact.topic for fact in found):
        told = [(fact.name, fact.value, _fact(fact)) for fact in found if fact.topic == topic]
        lines += _entry(topic, _together(told), width)
    return lines


def _together(told: Iterable[tuple[str, str, str]]) -> str:
    """Name, value and words of each; those that are not known for the same reason are told once, at the end."""
    known, unknown = [], defaultdict[str, list[str]](list)
    for name, value, words in told:
        if value.startswith(fmt.UNKNOWN):
            unknown[value].append(name)
        else:
            known.append(words)
    return "; ".join([*known, *(f"{', '.join(names)} {value}" for value, names in unknown.items())])


def _fact(fact: Fact) -> str:
    compared = fact.name in _COMPARED and fact.at_first not in ("", fact.value)
    return f"{fact.name} {fact.value}" + (f", at first {fact.at_first}" if compared else "")


def _findings(findings: tuple[Finding, ...], width: int) -> list[str]:
    lines = ["Findings"]
    for finding in findings[:_FINDINGS]:
        words = f"[{finding.severity}] {finding_title(finding)}: {fmt.visible(finding.text)}"
        lines += wrap(words, width, "  ", "    ")
    left = len(findings) - _FINDINGS
    return [*lines, f"  and {left} more"] if left > 0 else lines


def _entry(name: str, words: str, width: int) -> list[str]:
    return wrap(words, width, f"{name:<9}", " " * 9)


def table_lines(table: Table, titles: Iterable[str], width: int) -> list[str]:
    """Columns aligned below one line of titles, of which the table's own is the first.

    Args:
        table: what is shown.
        titles: columns for which a terminal has room, those that are given up last first.
        width: characters in a line.
    """
    wanted = [each for title in titles for each in _columns(table, title)]
    details = [i for i in wanted if table.columns[i].kind == "detail"]
    head = [column.title for column in table.columns]
    head[wanted[0]] = table.title
    rows = [tuple(_cell(text, table.columns[i]) for i, text in enumerate(row)) for row in table.rows]
    # rows stand two characters in from their titles
    head[wanted[0]] = head[wanted[0]][2:]
    widths = _widths(table.columns, [tuple(head), *rows], [i for i in wanted if i not in details], width - 2)
    lines = [table.title[:2] + _row(tuple(head), table.columns, widths)]
    for row in rows:
        lines.append("  " + _row(row, table.columns, widths))
        lines += _detail("; ".join(row[i].rstrip(".") for i in details if row[i]), width)
    return [*lines, *wrap(table.left_out, width, "  ", "    ")] if table.left_out else lines


def _detail(words: str, width: int) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        words, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, max_lines=2,
        placeholder=" …",
    )  # fmt: skip


def _columns(table: Table, title: str) -> list[int]:
    return [i for i, column in enumerate(table.columns) if column.title == title]


def _cell(text: str, column: Column) -> str:
    return text if text != NOTHING else "-" if column.kind == "number" else ""


def _widths(
    columns: tuple[Column, ...], rows: list[tuple[str, ...]], wanted: list[int], room: int
) -> dict[int, int]:
    """Width of each column that is shown: names give way first, then the columns that matter least."""
    widths = {i: max(_cells(row[i]) for row in rows) for i in wanted}

    def excess() -> int:
        return sum(widths.values()) + 2 * (len(widths) - 1) - room

    def shrink(narrowest: int) -> None:
        for i in sorted(widths, key=lambda i: -widths[i]):
            if columns[i].kind in ("text", "code") and excess() > 0:
                widths[i] = max(min(widths[i], narrowest), widths[i] - excess())

    shrink(32)
    for i in reversed(wanted[2:]):
        if excess() > 0:
            del widths[i]
    shrink(12)
    return dict(sorted(widths.items()))


def _row(row: tuple[str, ...], columns: tuple[Column, ...], widths: dict[int, int]) -> str:
    parts = []
    for i, width in widths.items():
        # code reads from its beginning, a name from both ends
        text = fmt.cut(row[i], width) if columns[i].title == "Code" else fmt.shorten(row[i], width)
        space = " " * (width - _cells(text))
        parts.append(space + text if columns[i].kind == "number" else text + space)
    return "  ".join(parts).rstrip()


def wrap(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    ) or [first.rstrip()]


def _cells(text: str) -> int:
    """Cells of a terminal that `text` takes: Chinese characters, for one, take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def fit_line(line: str, width: int) -> str:
    while _cells(line) > width:
        line = line[: len(line) - max(1, (_cells(line) - width) // 2) - 1] + "…"
    return line
