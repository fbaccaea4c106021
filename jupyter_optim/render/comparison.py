"""Two reports side by side, as text, html and a picture. Each is a pure function of the comparison."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from jupyter_optim.analysis.compare.comparison import Comparison
from jupyter_optim.render import format as fmt
from jupyter_optim.render.comparison_tables import (
    call_table,
    comparison_headline,
    group_changes,
    line_changes,
    module_changes,
    op_changes,
    op_row_changes,
    steps_words,
    still,
)
from jupyter_optim.render.html import folded, marked, more, prose, table_html
from jupyter_optim.render.text import NARROWEST, WIDTH, fit_line, table_lines, wrap
from jupyter_optim.report import Finding

__all__ = ["comparison_figure", "comparison_headline", "comparison_text", "render_comparison"]

_ROWS = 20
_TEXT_ROWS = 6
_FINDINGS = 10
_TEXT_FINDINGS = 6
_ORDER = ("Verdict", "After", "Before", "Code", "Class", "Change", "Of the change", "Was", "Calls")
"""Columns beside the name; where a terminal has no room, the last of these are given up first."""


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    """The comparison for a terminal.

    Args:
        comparison: what is shown.
        width: characters in a line; at least 40 are used.
    """
    room = max(NARROWEST, width)
    lines = [line for part in _parts(comparison, room) if part for line in (*part, "")]
    return "\n".join(fit_line(line, room) for line in lines).rstrip()


def render_comparison(comparison: Comparison, picture: bytes | str | None = None) -> str:
    """The comparison as an html fragment without script, style sheet or svg.

    Args:
        comparison: what is shown.
        picture: the figure as PNG, or why there is none, or None to leave it out.
    """
    return "\n".join(
        (
            '<div class="jupyter-optim-comparison">',
            f'<h3 class="jupyter-optim-headline">{marked(comparison_headline(comparison))}</h3>',
            *_picture(comparison, picture),
            *_remarks(comparison),
            *_findings(comparison.findings),
            *table_html(call_table(comparison)),
            *table_html(group_changes(comparison, _ROWS)),
            *folded(module_changes(comparison, _ROWS)),
            *folded(op_changes(comparison, _ROWS)),
            *folded(op_row_changes(comparison, _ROWS)),
            *folded(line_changes(comparison, _ROWS)),
            *_said("noise", still(comparison)),
            "</div>",
        )
    )


def comparison_figure(comparison: Comparison) -> bytes:
    """The comparison as PNG: the two calls on one scale, and by how much each part changed."""
    # matplotlib takes half a second to import, and is needed for nothing else
    from jupyter_optim.render.comparison_picture import render_png  # noqa: PLC0415

    return render_png(comparison)


def _picture(comparison: Comparison, picture: bytes | str | None) -> Iterator[str]:
    if isinstance(picture, bytes):
        words = comparison_headline(comparison).replace("`", "")
        parts = "; ".join(
            f"{fmt.visible(group.name)} {fmt.duration(group.before_ms or 0.0)} -> {fmt.duration(group.after_ms or 0.0)}"
            for group in comparison.groups[:5]
        )
        words += f" By group: {parts}." if parts else ""
        data = base64.b64encode(picture).decode()
        yield f'<p><img width="900" alt="{escape(words)}" src="data:image/png;base64,{data}"></p>'
    elif picture is not None:
        yield f"<p>The figure could not be drawn: {prose(picture)}</p>"


def _remarks(comparison: Comparison) -> Iterator[str]:
    yield from _said("steps", steps_words(comparison))
    notes = _notes(comparison)
    if notes:
        yield '<ul class="jupyter-optim-caveats">'
        yield from (f"<li><strong>Mind:</strong> {prose(note)}</li>" for note in notes)
        yield "</ul>"


def _notes(comparison: Comparison) -> tuple[str, ...]:
    lines = comparison.lines_reason
    return (*comparison.caveats, *([f"Lines: {lines}."] if lines else []))


def _said(name: str, words: str) -> Iterator[str]:
    if words:
        yield f'<p class="jupyter-optim-{name}">{prose(words)}</p>'


def _findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    if not findings:
        return
    yield '<h4>What changed</h4>\n<ul class="jupyter-optim-findings">'
    for finding in findings[:_FINDINGS]:
        yield f"<li>{marked(finding.text)}{more('Modules', finding.modules)}</li>"
    if len(findings) > _FINDINGS:
        yield f"<li>and {len(findings) - _FINDINGS} more</li>"
    yield "</ul>"


def _parts(comparison: Comparison, width: int) -> Iterator[list[str]]:
    yield wrap(comparison_headline(comparison).replace("`", ""), width)
    how = "" if comparison.latency.verdict == "unknown" else f"How: {fmt.visible(comparison.latency.reason)}."
    notes = [how, steps_words(comparison), *(f"Mind: {fmt.visible(note)}" for note in _notes(comparison))]
    yield [line for note in notes if note for line in wrap(note, width, "", "  ")]
    yield _text_findings(comparison.findings, width)
    yield from (table_lines(each, (each.columns[0].title, *_ORDER), width) for each in (
        call_table(comparison), group_changes(comparison, 2 * _TEXT_ROWS), module_changes(comparison, _TEXT_ROWS),
        op_changes(comparison, _TEXT_ROWS), line_changes(comparison, _TEXT_ROWS),
    ) if each is not None)  # fmt: skip
    words = still(comparison)
    yield wrap(words, width) if words else []


def _text_findings(findings: tuple[Finding, ...], width: int) -> list[str]:
    if not findings:
        return []
    lines = ["What changed"]
    for finding in findings[:_TEXT_FINDINGS]:
        lines += wrap(fmt.visible(finding.text).replace("`", ""), width, "  ", "    ")
    left = len(findings) - _TEXT_FINDINGS
    return [*lines, f"  and {left} more"] if left > 0 else lines
