"""A report as html that survives every viewer: no script, no style sheet, no svg, every figure as text.

JupyterLab's sanitizer keeps all that is used here, also in notebooks that are not trusted; GitHub may drop the
inline styles, so they only align what reads well without them. There are no blank lines and no deep indents:
in an exported markdown file they would end the html.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from html import escape

from jupyter_optim.analysis.groups import time_groups
from jupyter_optim.render import format as fmt
from jupyter_optim.render.compiled import compiled_table, fused_table
from jupyter_optim.render.facts import Fact, environment_facts, facts
from jupyter_optim.render.gpu import copy_table, gpu_table, kernel_table
from jupyter_optim.render.headline import headline
from jupyter_optim.render.listing import ListedLine, in_cell, listing
from jupyter_optim.render.sections import (
    finding_title,
    group_table,
    history_table,
    holder_table,
    line_table,
    memory_table,
    module_table,
    op_module_table,
    op_table,
    recommendation_table,
)
from jupyter_optim.render.tables import Column, Table
from jupyter_optim.render.training import part_tables, phase_table
from jupyter_optim.render.unseen import unseen_sentence
from jupyter_optim.report import Finding, Report

ROWS = 20
"""Most rows of a long table; how many are left out is said below it."""

_OP_ROWS = 12
_LINES = 10
_STEPS = 30
_HOLDERS = 10
_FINDINGS = 12
_NAMES = 6
_SUMMARY = {"p95": "95% of the calls within", "rate": "", "peak": "peak memory", "weights": "weights"}
_LEFT = ' style="text-align:left"'
_RIGHT = ' align="right"'


def render_html(
    report: Report, baseline: Report | None = None, picture: bytes | str | None = None,
    details: bytes | str | None = None,
) -> str:  # fmt: skip
    """The report as an html fragment.

    Args:
        report: what is shown.
        baseline: the report before any change, for figures before and after.
        picture: the figure as PNG, or why there is none, or None to leave it out.
        details: likewise that of memory and roofline.
    """
    return "\n".join(
        (
            '<div class="jupyter-optim-report">',
            f'<h3 class="jupyter-optim-headline">{marked(headline(report, baseline))}</h3>',
            *_partial(report),
            *_picture(report, baseline, picture),
            _summary(report, baseline),
            *_lines(report),
            *_training(report),
            *_unseen(report),
            *_findings(report.findings),
            *table_html(recommendation_table(report, ROWS)),
            *table_html(history_table(report, _STEPS)),
            *folded(_facts(facts(report, baseline))),
            *table_html(compiled_table(report, ROWS)),
            *folded(fused_table(report, ROWS)),
            *_gpu(report),
            *folded(group_table(report, ROWS)),
            *folded(module_table(report, ROWS)),
            *folded(op_table(report, ROWS)),
            *folded(op_module_table(report, _OP_ROWS)),
            *_memory(report, details),
            *_environment(report),
            "</div>",
        )
    )


def marked(text: str) -> str:
    """`text` escaped, with what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", fmt.visible(text))
    return "".join(f"<code>{escape(part)}</code>" if i % 2 else prose(part) for i, part in enumerate(parts))


def prose(text: str) -> str:
    """`text` escaped, for outside of code: a viewer's MathJax must not take a `$` or a backslash for a formula."""
    return re.sub(r"([$\\])", r"<span>\1</span>", escape(fmt.visible(text)))


def _partial(report: Report) -> Iterator[str]:
    if report.partial is not None:
        yield f'<p class="jupyter-optim-partial"><strong>This report is incomplete:</strong> {marked(report.partial)}</p>'


def _picture(report: Report, baseline: Report | None, picture: bytes | str | None) -> Iterator[str]:
    if isinstance(picture, bytes):
        groups = time_groups(report.ops, report.modules)[:5]
        where = "; ".join(f"{fmt.visible(group.label)} {fmt.share(group.share)}" for group in groups)
        words = headline(report, baseline).replace("`", "") + (f" Time by group: {where}." if where else "")
        data = base64.b64encode(picture).decode()
        yield f'<p><img width="900" alt="{escape(words)}" src="data:image/png;base64,{data}"></p>'
    elif picture is not None:
        yield f"<p>The figure could not be drawn: {prose(picture)}</p>"


def _summary(report: Report, baseline: Report | None) -> str:
    """The figures that a reader looks for first, in one line; all of them are in a table further down."""
    words = []
    for fact in facts(report, baseline):
        if fact.name in _SUMMARY and not fact.value.startswith(fmt.UNKNOWN):
            at_first = f" (at first {fact.at_first})" if fact.at_first not in ("", fact.value) else ""
            words.append(f"{_SUMMARY[fact.name]} {fact.value}{at_first}".strip())
    line = prose("; ".join(words))
    return f'<p class="jupyter-optim-summary">{line[:1].upper()}{line[1:]}.</p>'


def _lines(report: Report) -> Iterator[str]:
    rows = listing(report)
    if rows:
        yield '<table class="jupyter-optim-listing">'
        yield "<caption>This cell as it last ran, with the time of each line and of what it calls</caption>"
        yield _head((Column("", "number"), Column("Time", "number"), Column("Share", "number"), Column(""),
                     Column("Code", "code"), Column("Memory", "number")))  # fmt: skip
        yield "<tbody>"
        yield from map(_listed, rows)
        yield "</tbody>"
        yield "</table>"
    listed = set(in_cell(report)) if rows else set()
    elsewhere = [line for line in report.lines if line not in listed]
    yield from table_html(line_table(elsewhere, _LINES, "Hot lines elsewhere" if rows else "Hot lines"))


def _listed(line: ListedLine) -> str:
    if line.skipped:
        note = f"{fmt.plural(line.skipped, 'line')} that cost less, or nothing"
        return f"<tr><td{_RIGHT}>…</td><td></td><td></td><td></td><td{_LEFT}>{note}</td><td></td></tr>"
    cost, text = line.cost, fmt.shorten(fmt.visible(line.text.expandtabs(4)), 160)
    indent = len(text) - len(text.lstrip())
    code = "&nbsp;" * indent + escape(text[indent:])
    code = f"<code>{code}</code>" if text.strip() else ""
    if cost is None:
        return f"<tr><td{_RIGHT}>{line.lineno}</td><td></td><td></td><td></td><td{_LEFT}>{code}</td><td></td></tr>"
    on_gpu = "" if cost.gpu_ms is None else f" GPU {fmt.duration(cost.gpu_ms)}"
    mark = (
        f"{fmt.bar(cost.share)}{' hot' if line.hot else ''}{' estimated' if cost.estimated else ''}{on_gpu}"
    )
    held = fmt.size(cost.bytes) if cost.bytes is not None else ""
    strong = f"<strong>{code}</strong>" if line.hot else code
    kind = ' class="jupyter-optim-hot"' if line.hot else ""
    return (
        f"<tr{kind}><td{_RIGHT}>{line.lineno}</td><td{_RIGHT}>{fmt.duration(cost.ms)}</td>"
        f"<td{_RIGHT}>{fmt.share(cost.share)}</td><td{_LEFT}>{mark.strip()}</td><td{_LEFT}>{strong}</td>"
        f"<td{_RIGHT}>{held}</td></tr>"
    )


def _findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    if not findings:
        return
    yield '<h4>Findings</h4>\n<ul class="jupyter-optim-findings">'
    for finding in findings[:_FINDINGS]:
        evidence = more("Evidence", finding.evidence) + more("Modules", finding.modules)
        yield (
            f"<li><strong>{marked(finding_title(finding))}</strong> ({finding.severity}): "
            f"{marked(finding.text)}{evidence}</li>"
        )
    if len(findings) > _FINDINGS:
        yield f"<li>and {len(findings) - _FINDINGS} more</li>"
    yield "</ul>"


def more(title: str, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    shown = ", ".join(
        f"<code>{escape(fmt.visible(name)) or '(the model itself)'}</code>" for name in names[:_NAMES]
    )
    left = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"<br><small>{title}: {shown}{left}</small>"


def _facts(found: tuple[Fact, ...]) -> Table:
    columns = (Column("What"), Column("Value"), Column("At first"), Column("How"))
    rows = tuple((f"{fact.topic}: {fact.name}", fact.value, fact.at_first, fact.how) for fact in found)
    return Table("facts", "What was measured", columns, rows).without_empty_columns()


def _training(report: Report) -> Iterator[str]:
    yield from table_html(phase_table(report))
    parts = part_tables(report)
    if parts:
        yield "<details><summary>What takes each phase of a training step</summary>"
        for each in parts:
            yield from table_html(each)
        yield "</details>"


def _unseen(report: Report) -> Iterator[str]:
    words = unseen_sentence(report)
    if words is not None:
        yield f'<p class="jupyter-optim-unseen">{marked(words)}</p>'


def _gpu(report: Report) -> Iterator[str]:
    yield from table_html(gpu_table(report))
    yield from folded(kernel_table(report, ROWS))
    yield from folded(copy_table(report))


def _memory(report: Report, details: bytes | str | None) -> Iterator[str]:
    tables = [memory_table(report), holder_table(report, _HOLDERS)]
    if any(tables) or details is not None:
        yield "<details><summary>Memory and the machine's limits</summary>"
        if isinstance(details, bytes):
            data = base64.b64encode(details).decode()
            words = (
                "Memory held over the time of a call, and how near each op comes to what the machine can do."
            )
            yield f'<p><img width="900" alt="{words}" src="data:image/png;base64,{data}"></p>'
        elif details is not None:
            yield f"<p>The figure could not be drawn: {prose(details)}</p>"
        for each in tables:
            yield from table_html(each)
        yield "</details>"


def _environment(report: Report) -> Iterator[str]:
    rows = environment_facts(report.environment)
    yield from folded(Table("environment", "Machine and software", (Column("What"), Column("Value")), rows))


def folded(table: Table | None) -> Iterator[str]:
    if table is not None:
        yield f"<details><summary>{prose(table.title)}</summary>"
        yield from table_html(table)
        yield "</details>"


def table_html(table: Table | None) -> Iterator[str]:
    if table is None:
        return
    yield f'<table class="jupyter-optim-{table.name}">\n<caption>{prose(table.title)}</caption>'
    yield _head(table.columns)
    yield "<tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(_cells(row, table.columns))}</tr>"
    yield "</tbody>\n</table>"
    if table.left_out:
        yield f'<p class="jupyter-optim-left-out">{prose(table.left_out)}</p>'


def _head(columns: Iterable[Column]) -> str:
    cells = (
        f'<th scope="col"{_RIGHT if column.kind == "number" else _LEFT}>{prose(column.title)}</th>'
        for column in columns
    )
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _cells(row: tuple[str, ...], columns: tuple[Column, ...]) -> Iterator[str]:
    for i, (text, column) in enumerate(zip(row, columns, strict=True)):
        words = f"<code>{escape(text)}</code>" if column.kind == "code" else marked(text)
        if column.kind == "number":
            yield f"<td{_RIGHT}>{words}</td>"
        elif i == 0:
            yield f'<th scope="row"{_LEFT}>{words}</th>'
        else:
            yield f"<td{_LEFT}>{words}</td>"
