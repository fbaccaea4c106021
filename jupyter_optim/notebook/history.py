"""The steps that were tried, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jupyter_optim.report import Interval, Quality, StepRecord

LEFT_OUT = ("slower", "quality lost", "no gain")
"""Verdicts of steps that ran well but were not kept, which *Keep anyway* may force."""

_CELL = "padding: 2px 10px 2px 0; text-align: left; vertical-align: top"
_TABLE = (
    "border-collapse: collapse; color: var(--jp-ui-font-color1, inherit); font-size: 13px; line-height: 1.4"
)
_MUTED = "color: var(--jp-ui-font-color2, #616161)"


def verdict_text(record: StepRecord) -> str:
    """What came of a step, in one sentence, such as ``4.2x faster, 62% smaller: kept.``."""
    if record.verdict == "failed":
        return f"{record.label} failed: {_sentence(record.reason)} The model is as it was."
    facts = [_speed(record.speedup), _size(record.size_ratio), _quality(record.quality)]
    found = ", ".join(fact for fact in facts if fact)
    if record.accepted:
        return f"{found or record.label}: kept."
    return f"{found or record.label}: left out ({record.verdict}). {_sentence(record.reason)}"


def history_html(records: Sequence[StepRecord]) -> str:
    """A table of all steps with what was measured before and after each."""
    if not records:
        return f'<div style="{_MUTED}">No change tried yet.</div>'
    head = "".join(
        f'<th scope="col" style="{_CELL}; {_MUTED}; font-weight: normal">{name}</th>'
        for name in ("", "change", "result", "before", "after", "speed-up (95% CI)", "size", "quality")
    )
    rows = "".join(_row(number, record) for number, record in enumerate(records, start=1))
    return (
        f'<div style="overflow-x: auto"><table class="jupyter-optim-history" style="{_TABLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def code_html(code: str) -> str:
    """The changes that stand, as source that needs nothing of ours."""
    if not code:
        return f'<div style="{_MUTED}">No change stands.</div>'
    return f'<pre style="color: var(--jp-ui-font-color1, inherit); overflow-x: auto; margin: 0">{escape(code)}</pre>'


def _row(number: int, record: StepRecord) -> str:
    stands = record.accepted and not record.undone
    cells = (
        f"{number}.",
        " ".join([record.label, _options(record)]).strip(),
        _outcome(record),
        _ms(record.before_ms),
        _ms(record.after_ms),
        _interval(record.speedup),
        "" if record.size_ratio is None else f"{record.size_ratio:.0%}",
        _change(record.quality),
    )
    style = _CELL if stands else f"{_CELL}; {_MUTED}"
    return "<tr>" + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell in cells) + "</tr>"


def _outcome(record: StepRecord) -> str:
    if record.verdict == "failed":
        return "failed"
    if not record.accepted:
        return f"{record.verdict}: left out"
    return f"{record.verdict}: {'undone' if record.undone else 'kept'}"


def _options(record: StepRecord) -> str:
    return (
        f"({', '.join(f'{name} {value}' for name, value in record.options.items())})"
        if record.options
        else ""
    )


def _speed(speedup: Interval | None) -> str:
    if speedup is None:
        return ""
    if speedup.low > 1:
        return f"{_ratio(speedup.median)} faster (95% CI {_ratio(speedup.low)[:-1]} to {_ratio(speedup.high)[:-1]})"
    if speedup.high < 1:
        slower = Interval(low=1 / speedup.high, median=1 / speedup.median, high=1 / speedup.low)
        return (
            f"{_ratio(slower.median)} slower (95% CI {_ratio(slower.low)[:-1]} to {_ratio(slower.high)[:-1]})"
        )
    return f"no faster ({_ratio(speedup.median)}, 95% CI {_ratio(speedup.low)[:-1]} to {_ratio(speedup.high)[:-1]})"


def _ratio(value: float) -> str:
    return f"{value:.1f}x" if value >= 2 else f"{value:.2f}x"


def _interval(speedup: Interval | None) -> str:
    if speedup is None:
        return ""
    return f"{_ratio(speedup.median)} ({_ratio(speedup.low)[:-1]} to {_ratio(speedup.high)[:-1]})"


def _size(ratio: float | None) -> str:
    if ratio is None or abs(1 - ratio) < 0.005:
        return ""
    return f"{1 - ratio:.0%} smaller" if ratio < 1 else f"{ratio - 1:.0%} larger"


def _quality(quality: Quality | None) -> str:
    if quality is None:
        return ""
    if quality.metric == "fidelity":
        return f"cosine {_figure(quality.after)}"
    return f"{quality.metric} {_figure(quality.before)} to {_figure(quality.after)}"


def _change(quality: Quality | None) -> str:
    return "" if quality is None else f"{_figure(quality.before)} to {_figure(quality.after)}"


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.4g}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} ms"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
