"""One picture that a reader grasps in five seconds: where the time goes, before and after, and what was tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jupyter_optim.render import format as fmt
from jupyter_optim.render.breakdown import DARK_GREY, UNDIVIDED, Breakdown, Part, breakdown, part_colors
from jupyter_optim.render.headline import headline, place_of
from jupyter_optim.render.palette import (
    BLUE,
    EDGE,
    GREEN,
    INK,
    PAPER,
    QUIET,
    RED,
    RULE,
    SOFT,
    WIDTH,
)
from jupyter_optim.render.sheet import Pen, Sheet
from jupyter_optim.render.tables import NOTHING
from jupyter_optim.render.tries import Outcome, Try, tries
from jupyter_optim.report import Report

_GAP = 44
_LEFT_WIDTH = 470
_BAR, _BAR_STEP = 34, 46
_ROW = 22
_TRY = 46

_OUTCOMES: dict[Outcome, str] = {"good": BLUE, "bad": RED, "idle": QUIET}
_ON_DARK = {BLUE, GREEN, DARK_GREY}


@dataclass(frozen=True, slots=True)
class _Pens:
    title: Pen
    head: Pen
    body: Pen
    bold: Pen
    small: Pen


def render_png(report: Report, baseline: Report | None = None) -> bytes:
    """The picture as PNG.

    Args:
        report: what is drawn.
        baseline: the report before any change, for the bar "at first".
    """
    pens = _Pens(Pen(16.5, bold=True), Pen(13, bold=True), Pen(12.5), Pen(12.5, bold=True), Pen(11))
    sentence = pens.title.wrap(headline(report, baseline).replace("`", ""), WIDTH - 2 * EDGE, 3)
    time, (title, rows, more) = breakdown(report, baseline), tries(report)
    top = EDGE + 24 * len(sentence) + 18
    left_width = _LEFT_WIDTH if rows else WIDTH - 2 * EDGE
    height = top + max(_breakdown_height(time), _tries_height(rows, more)) + 40
    sheet = Sheet(WIDTH, height, PAPER)
    sheet.box(0.5, 0.5, WIDTH - 1, height - 1, PAPER, RULE)
    for i, line in enumerate(sentence):
        sheet.text(EDGE, EDGE + 16 + 24 * i, line, pens.title, INK)
    if time is None:
        _draw_nothing(sheet, pens, report, top, left_width)
    else:
        _draw_breakdown(sheet, pens, time, top, left_width)
    if rows:
        x = EDGE + _LEFT_WIDTH + _GAP
        sheet.text(x, top + 10, title, pens.head, INK)
        _draw_tries(sheet, pens, rows, more, x, top + 24)
    sheet.text(EDGE, height - 16, pens.small.fit(_method(report, time), WIDTH - 2 * EDGE), pens.small, SOFT)
    return sheet.png()


def _method(report: Report, time: Breakdown | None) -> str:
    latency = report.latency
    timed = f"Median of {fmt.plural(latency.repeats, 'call')}" if latency.repeats else "No clean timing"
    traced = f"; parts from {fmt.plural(report.trace.calls, 'traced call')}" if report.trace.calls else ""
    on_cpu = report.workload.device.partition(":")[0] == "cpu"
    machine = (
        report.environment.cpu_model or "CPU of unknown model"
        if on_cpu
        else place_of(report).removeprefix("on ")
    )
    scaled = (
        "; at first: by the timing side by side" if time is not None and time.first_ms is not None else ""
    )
    torch = f", torch {report.environment.torch}" if report.environment.torch else ""
    return f"{timed}{traced}{scaled}. {machine}{torch}."


def _breakdown_height(time: Breakdown | None) -> float:
    if time is None:
        return 70
    bars = 1 if time.first_ms is None else 2
    return 24 + bars * _BAR_STEP + 22 + len(_listed(time)) * _ROW


def _tries_height(rows: Sequence[Try], more: str) -> float:
    return 24 + len(rows) * _TRY + 22 + (18 if more else 0) if rows else 0


def _draw_nothing(sheet: Sheet, pens: _Pens, report: Report, top: float, width: float) -> None:
    sheet.text(EDGE, top + 10, "Where the time goes", pens.head, INK)
    reason = fmt.unknown(report.trace.reason or report.partial)
    for i, line in enumerate(pens.body.wrap(reason[:1].upper() + reason[1:], width, 2)):
        sheet.text(EDGE, top + 36 + 18 * i, line, pens.body, SOFT)


def _draw_breakdown(sheet: Sheet, pens: _Pens, time: Breakdown, top: float, width: float) -> None:
    sheet.text(EDGE, top + 10, "Where the time of one call goes", pens.head, INK)
    colors = part_colors(time.parts)
    now = [(part.label, part.now_ms) for part in time.parts]
    bars = [("now" if time.first_ms is not None else "", time.now_ms, now)]
    if time.first_ms is not None:
        bars.insert(0, ("at first", time.first_ms, [(part.label, part.first_ms) for part in time.parts]))
    left = EDGE + (pens.body.width("at first") + 12 if time.first_ms is not None else 0)
    longest = max(total for _, total, _ in bars)
    ending = max(pens.bold.width(fmt.duration(total)) for _, total, _ in bars) + 10
    room = EDGE + width - left - ending
    y = top + 26
    for name, total, segments in bars:
        length = room * total / longest
        sheet.text(EDGE, y + _BAR / 2 + 5, name, pens.body, INK)
        _draw_bar(
            sheet, pens, (left, y, length), total, [(label, colors[label], ms) for label, ms in segments]
        )
        sheet.text(left + length + 8, y + _BAR / 2 + 5, fmt.duration(total), pens.bold, INK)
        y += _BAR_STEP
    _draw_parts(sheet, pens, time, colors, (EDGE, y + 12), width)


def _draw_bar(
    sheet: Sheet,
    pens: _Pens,
    place: tuple[float, float, float],
    total: float,
    segments: list[tuple[str, str, float | None]],
) -> None:
    x, y, length = place
    for label, color, ms in segments:
        width = length * (ms or 0.0) / total
        if width <= 0:
            continue
        sheet.box(x, y, max(0.5, width - (1 if width > 3 else 0)), _BAR, color)
        share = "" if label == UNDIVIDED else f" {fmt.share((ms or 0.0) / total)}"
        words = next(
            (each for each in (label + share, share.strip()) if pens.bold.width(each) + 16 < width), ""
        )
        if words:
            sheet.text(
                x + width / 2,
                y + _BAR / 2 + 5,
                words,
                pens.bold,
                "#ffffff" if color in _ON_DARK else INK,
                "center",
            )
        x += width


def _draw_parts(
    sheet: Sheet,
    pens: _Pens,
    time: Breakdown,
    colors: dict[str, str],
    place: tuple[float, float],
    width: float,
) -> None:
    """The legend, which has the figures too."""
    x, y = place
    right = x + width
    parts = _listed(time)
    compared = time.first_ms is not None and len(parts) == len(time.parts)
    columns = {"now" if time.first_ms is not None else "time": right - 62, "share": right}
    if compared:
        columns = {"at first": right - 162, **columns}
    for head, at in columns.items():
        sheet.text(at, y, head, pens.small, SOFT, "right")
    room = min(columns.values()) - 76 - (x + 21)
    for part in parts:
        y += _ROW
        sheet.box(x, y - 11, 13, 13, colors[part.label])
        sheet.text(x + 21, y, pens.body.fit(part.label, room), pens.body, INK)
        words = {
            "at first": _ms(part.first_ms), "now": _ms(part.now_ms), "time": _ms(part.now_ms),
            "share": NOTHING if part.now_ms is None else fmt.share(part.now_ms / time.now_ms),
        }  # fmt: skip
        for head, at in columns.items():
            sheet.text(at, y, words[head], pens.body, INK, "right")


def _listed(time: Breakdown) -> tuple[Part, ...]:
    return tuple(part for part in time.parts if part.label != UNDIVIDED)


def _ms(value: float | None) -> str:
    return NOTHING if value is None else fmt.duration(value)


def _draw_tries(sheet: Sheet, pens: _Pens, rows: Sequence[Try], more: str, x: float, y: float) -> None:
    width = WIDTH - EDGE - x
    values = [value for each in rows for value in (each.low, each.middle, each.high) if value is not None]
    low, high = min(0.9, *values, 0.9), max(1.5, *values, 1.5)

    def at(value: float) -> float:
        return x + 8 + (width - 16) * math.log(value / low) / math.log(high / low)

    bottom = y + len(rows) * _TRY
    if values:
        for tick in _ticks(low, high):
            thickness, color = (1.5, INK) if tick == 1 else (0.8, RULE)
            sheet.box(at(tick) - thickness / 2, y, thickness, bottom - y, color)
            sheet.text(at(tick), bottom + 15, f"{tick:g}x", pens.small, SOFT, "center")
    for i, each in enumerate(rows):
        line = y + i * _TRY
        note = pens.body.width(each.note)
        sheet.box(x, line, width, 23, PAPER)
        room = width - note - 14
        label = next((label for label in each.labels if pens.bold.width(label) <= room), each.labels[-1])
        sheet.text(x, line + 16, pens.bold.fit(label, room), pens.bold, INK)
        color = SOFT if each.outcome == "idle" else _OUTCOMES[each.outcome]
        sheet.text(x + width, line + 16, each.note, pens.body, color, "right")
        if each.middle is not None:
            _draw_interval(sheet, each, at, line + 34)
    if more:
        sheet.text(x, bottom + 34, more, pens.small, SOFT)


def _draw_interval(sheet: Sheet, each: Try, at: Callable[[float], float], y: float) -> None:
    middle, color = each.middle or 1.0, _OUTCOMES[each.outcome]
    if each.low is not None and each.high is not None:
        sheet.pill(at(each.low), y - 4, max(8.0, at(each.high) - at(each.low)), 8, color + "66")
        sheet.dot(at(middle), y, 5, color, PAPER)
    else:
        # hollow: no more than a prediction
        ends = sorted((at(1), at(middle)))
        sheet.box(ends[0], y - 1, ends[1] - ends[0], 2, color)
        sheet.dot(at(middle), y, 5, PAPER, color)


def _ticks(low: float, high: float) -> list[float]:
    """Speed-ups to mark: 1 and powers of 2 about it, at most six, so that their labels stay apart."""
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / 6))
    return [2.0**power for power in range(first, last + 1) if power % stride == 0]
