"""The steps that were tried, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jupyter_optim.analysis.compare import compare
from jupyter_optim.render.changes import render_changes
from jupyter_optim.render.format import duration, ratio_interval, score, size_change
from jupyter_optim.report import Quality, Report, StepRecord

LEFT_OUT = ("slower", "quality lost", "no gain")
"""Verdicts of steps that ran well but were not kept, which *Keep anyway* may force."""

_CELL = "padding: 2px 12px 2px 0; text-align: left; vertical-align: top"
_TEXT = "color: var(--jp-ui-font-color1, inherit)"
_TABLE = f"border-collapse: collapse; {_TEXT}; font-size: 13px; line-height: 1.4"
_MUTED = "color: var(--jp-ui-font-color2, #616161)"
_COLUMNS = ("", "change", "result", "before", "after", "speed-up (95% CI)", "size", "quality")


def verdict_text(record: StepRecord) -> str:
    """What came of a step, such as ``Quantize to int8: 4.2x faster, 62% smaller: kept.``."""
    named = record.reason.startswith(record.label)
    return record.reason if named else f"{record.label}: {record.reason}"


def history_html(records: Sequence[StepRecord]) -> str:
    """A table of all steps with what was measured before and after each."""
    if not records:
        return f'<div style="{_MUTED}">No change tried yet.</div>'
    heading = f"{_CELL}; {_MUTED}; font-weight: normal"
    head = "".join(f'<th scope="col" style="{heading}">{name}</th>' for name in _COLUMNS)
    rows = "".join(_row(number, record) for number, record in enumerate(records, start=1))
    return (
        f'<div style="overflow-x: auto"><table class="jupyter-optim-history" style="{_TABLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def changes_html(before: Report, after: Report) -> str:
    """What the changes that stand did to the parts of a call, folded."""
    short = render_changes(compare(before, after))
    style = f"{_TEXT}; font-size: 13px; line-height: 1.4; margin: 6px 0 0 0; overflow-x: auto"
    return f'<div style="{style}">{short}</div>'


def code_html(code: str) -> str:
    """The changes that stand, as source that needs nothing of ours."""
    if not code:
        return f'<div style="{_MUTED}">No change stands.</div>'
    return f'<pre style="{_TEXT}; overflow-x: auto; margin: 0">{escape(code)}</pre>'


def _row(number: int, record: StepRecord) -> str:
    speedup, quality = record.speedup, record.quality
    cells = (
        f"{number}.",
        f"{record.label}{_options(record)}",
        _outcome(record),
        "" if record.before_ms is None else duration(record.before_ms),
        "" if record.after_ms is None else duration(record.after_ms),
        "" if speedup is None else ratio_interval(speedup.low, speedup.median, speedup.high),
        "" if record.size_ratio is None else size_change(record.size_ratio),
        "" if quality is None else f"{_judge(quality)} {score(quality.before)} to {score(quality.after)}",
    )
    stands = record.accepted and not record.undone
    style = _CELL if stands else f"{_CELL}; {_MUTED}"
    return "<tr>" + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell in cells) + "</tr>"


def _outcome(record: StepRecord) -> str:
    if record.verdict == "failed":
        return "failed"
    if not record.accepted:
        return f"{record.verdict}, left out"
    return f"{record.verdict}, {'undone' if record.undone else 'kept'}"


def _options(record: StepRecord) -> str:
    if not _chosen(record):
        return ""
    return f" ({', '.join(f'{name} {value}' for name, value in _chosen(record).items())})"


def _chosen(record: StepRecord) -> dict[str, object]:
    return {name: value for name, value in record.options.items() if value != "auto"}


def _judge(quality: Quality) -> str:
    return "cosine" if quality.metric == "fidelity" else quality.metric
