"""One picture of two reports: the two calls on one scale, and beside each part by how much it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_optim.analysis.compare.comparison import OTHER, REST, Change, Comparison, RowStatus
from jupyter_optim.render import format as fmt
from jupyter_optim.render.breakdown import UNDIVIDED
from jupyter_optim.render.comparison_tables import comparison_headline, difference, verdict
from jupyter_optim.render.palette import (
    BLUE,
    EDGE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PINK,
    QUIET,
    RED,
    RULE,
    SKY,
    SOFT,
    WIDTH,
    YELLOW,
)
from jupyter_optim.render.sheet import Pen, Sheet
from jupyter_optim.render.tables import NOTHING

_BAR, _BAR_STEP = 34, 46
_ROW = 28
_PARTS = 7

_VIOLET = "#8a6bb1"
_COLORS = (ORANGE, SKY, GREEN, PINK, YELLOW, _VIOLET)
_GREYS = {OTHER: "#9aa2ab", REST: "#cfd4d9"}
# of those, the two that no part has
_BETTER, _WORSE, _IDLE = BLUE, RED, QUIET
_ON_DARK = {GREEN, _VIOLET}


@dataclass(frozen=True, slots=True)
class _Part:
    """One segment of both bars, and one row below them."""

    label: str
    color: str
    change: Change


def render_png(comparison: Comparison) -> bytes:
    """The picture as PNG."""
    title, body, bold, small = Pen(16.5, bold=True), Pen(12.5), Pen(12.5, bold=True), Pen(11)
    sentence = title.wrap(comparison_headline(comparison).replace("`", ""), WIDTH - 2 * EDGE, 3)
    notes = [
        line for note in comparison.caveats[:3] for line in body.wrap(f"Mind: {note}", WIDTH - 2 * EDGE, 2)
    ]
    parts, method = _parts(comparison), small.wrap(comparison.noise, WIDTH - 2 * EDGE, 2)
    top = EDGE + 24 * len(sentence) + 18 * len(notes) + 12
    height = top + (2 * _BAR_STEP + 34 + len(parts) * _ROW if parts else 30) + 18 + 16 * len(method)
    sheet = Sheet(WIDTH, height, PAPER)
    sheet.box(0.5, 0.5, WIDTH - 1, height - 1, PAPER, RULE)
    for i, line in enumerate(sentence):
        sheet.text(EDGE, EDGE + 16 + 24 * i, line, title, INK)
    for i, line in enumerate(notes):
        sheet.text(EDGE, EDGE + 14 + 24 * len(sentence) + 18 * i, line, body, _WORSE)
    if parts:
        _draw_bars(sheet, (body, bold), parts, top)
        _draw_rows(sheet, (body, bold, small), parts, top + 2 * _BAR_STEP + 16)
    else:
        sheet.text(EDGE, top + 14, "The two reports do not both say where the time went.", body, SOFT)
    for i, line in enumerate(reversed(method)):
        sheet.text(EDGE, height - 14 - 16 * i, line, small, SOFT)
    return sheet.png()


def _parts(comparison: Comparison) -> tuple[_Part, ...]:
    """The groups that matter in order of their change, the lesser ones as one, and what is in no op."""
    large = sorted(
        (group for group in comparison.groups if group.name != OTHER),
        key=lambda group: -max(group.before_ms or 0.0, group.after_ms or 0.0),
    )  # fmt: skip
    named = sorted(large[: _PARTS - 1], key=lambda group: -abs(group.delta_ms))
    lesser = [group for group in comparison.groups if group not in named]
    if not comparison.groups:
        return _whole(comparison)
    colors = iter(_COLORS)
    rows: list[tuple[str, Change]] = [(group.name, group) for group in named]
    if lesser:
        rows.append((OTHER, _together(lesser)))
    rows.append((REST, comparison.rest))
    return tuple(
        _Part(fmt.visible(label), _GREYS[label] if label in _GREYS else next(colors), change)
        for label, change in rows
        if (change.before_ms or 0.0) + (change.after_ms or 0.0) > 0
    )


def _whole(comparison: Comparison) -> tuple[_Part, ...]:
    """The two calls undivided, where their rows are not known."""
    found = comparison.latency
    if (
        found.before_ms is None
        or found.after_ms is None
        or found.delta_ms is None
        or found.verdict == "unknown"
    ):
        return ()
    change = Change(name=UNDIVIDED, before_ms=found.before_ms, after_ms=found.after_ms, delta_ms=found.delta_ms,
                    share=None, noise_ms=0.0, status=found.verdict)  # fmt: skip
    return (_Part(UNDIVIDED, _GREYS[OTHER], change),)


def _together(rows: Sequence[Change]) -> Change:
    """Several rows as one, which is noise unless one of them changed for sure."""
    before, after = (
        sum(ms or 0.0 for ms in each) for each in zip(*((r.before_ms, r.after_ms) for r in rows), strict=True)
    )
    delta, changed = after - before, any(row.status != "noise" for row in rows)
    noise = sum(row.noise_ms for row in rows)
    status: RowStatus = ("faster" if delta < 0 else "slower") if changed and abs(delta) > noise else "noise"
    return Change(name=OTHER, before_ms=before, after_ms=after, delta_ms=delta, share=None, noise_ms=noise,
                  status=status)  # fmt: skip


def _draw_bars(sheet: Sheet, pens: tuple[Pen, Pen], parts: Sequence[_Part], top: float) -> None:
    """Both calls as bars of one scale, each from its parts."""
    body, bold = pens
    bars = [("before", [part.change.before_ms or 0.0 for part in parts]),
            ("after", [part.change.after_ms or 0.0 for part in parts])]  # fmt: skip
    longest = max(sum(times) for _, times in bars)
    left = EDGE + body.width("before") + 12
    room = WIDTH - EDGE - left - max(bold.width(_total(sum(times))) for _, times in bars) - 10
    for row, (name, times) in enumerate(bars):
        x, y = left, top + row * _BAR_STEP
        total = sum(times)
        sheet.text(EDGE, y + _BAR / 2 + 5, name, body, INK)
        for part, ms in zip(parts, times, strict=True):
            width = room * ms / longest
            if width > 0:
                sheet.box(x, y, max(0.5, width - (1 if width > 3 else 0)), _BAR, part.color)
                words = next(
                    (each for each in (part.label, fmt.duration(ms)) if bold.width(each) + 16 < width), ""
                )
                ink = "#ffffff" if part.color in _ON_DARK else INK
                sheet.text(x + width / 2, y + _BAR / 2 + 5, words, bold, ink, "center")
            x += width
        sheet.text(left + room * total / longest + 8, y + _BAR / 2 + 5, _total(total), bold, INK)


def _total(ms: float) -> str:
    return fmt.duration(ms) if ms else "not known"


def _draw_rows(sheet: Sheet, pens: tuple[Pen, Pen, Pen], parts: Sequence[_Part], top: float) -> None:
    """The legend, with each part's times, and its change as a bar to the left for faster, to the right for slower."""
    body, bold, small = pens
    before, after, right = 360.0, 440.0, WIDTH - EDGE
    word = right - max(bold.width(verdict(part.change)) for part in parts)
    middle, reach = _axis(parts, body, after + 20, word - 14)
    for words, x in (("before", before), ("after", after)):
        sheet.text(x, top, words, small, SOFT, "right")
    # the axis lies between its two titles
    sheet.text(middle - 6, top, "faster", small, SOFT, "right")
    sheet.text(middle + 6, top, "slower", small, SOFT)
    sheet.box(middle - 0.75, top + 8, 1.5, len(parts) * _ROW, INK)
    largest = max(abs(part.change.delta_ms) for part in parts) or 1.0
    for i, part in enumerate(parts):
        y, change = top + 8 + (i + 0.5) * _ROW, part.change
        sheet.box(EDGE, y - 7, 13, 13, part.color)
        sheet.text(EDGE + 21, y + 4, body.fit(part.label, before - 76 - EDGE - 21), body, INK)
        sheet.text(before, y + 4, _ms(change.before_ms), body, INK, "right")
        sheet.text(after, y + 4, _ms(change.after_ms), body, INK, "right")
        color = _IDLE if change.status == "noise" else _BETTER if change.delta_ms < 0 else _WORSE
        length = reach * abs(change.delta_ms) / largest
        faster = change.delta_ms < 0
        sheet.box(middle - length if faster else middle, y - 8, length, 16, color)
        end = middle + (-length - 6 if faster else length + 6)
        sheet.text(end, y + 4, difference(change.delta_ms), body, INK, "right" if faster else "left")
        ink = SOFT if change.status == "noise" else color
        sheet.text(right, y + 4, verdict(change), bold if change.status != "noise" else body, ink, "right")


def _axis(parts: Sequence[_Part], pen: Pen, left: float, right: float) -> tuple[float, float]:
    """Where 0 is, and how long the longest bar may be, so that all bars and their figures have room."""
    largest = max(abs(part.change.delta_ms) for part in parts) or 1.0
    needs = []
    for sign in (-1, 1):
        side = [part for part in parts if part.change.delta_ms * sign > 0]
        titles = 48.0
        text = max((pen.width(difference(part.change.delta_ms)) + 8 for part in side), default=titles)
        needs.append(
            (max((abs(part.change.delta_ms) / largest for part in side), default=0.0), max(text, titles))
        )
    (down, left_text), (up, right_text) = needs
    reach = max(10.0, (right - left - left_text - right_text) / max(down + up, 1e-9))
    return left + left_text + down * reach, min(reach, right - left)


def _ms(value: float | None) -> str:
    return NOTHING if value is None else fmt.duration(value)
