"""The second picture: the memory over a call, how near each op comes to the machine's limits, and where steps wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jupyter_optim.render import format as fmt
from jupyter_optim.render.palette import BLUE, EDGE, GREEN, INK, ORANGE, PAPER, RED, RULE, SOFT, WIDTH
from jupyter_optim.render.sheet import Pen, Sheet
from jupyter_optim.render.strips import HEIGHT, draw_strip, strips
from jupyter_optim.report import Op, Peaks, Report

_HEIGHT = 330
_BOUNDS = {"compute": BLUE, "memory": ORANGE, "overhead": RED}
_OPS = 24
_ROOFS = 3


@dataclass(frozen=True, slots=True)
class _Frame:
    """A plot's place on the sheet."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass(frozen=True, slots=True)
class _Pens:
    head: Pen
    body: Pen
    small: Pen


def render_limits_png(report: Report) -> bytes | None:
    """The picture as PNG, or None where nothing of it is known."""
    timeline, ops, below = report.memory.timeline, _plotted(report), strips(report)
    if not timeline and not ops and not below:
        return None
    pens = _Pens(Pen(13, bold=True), Pen(12.5), Pen(11))
    plots = _HEIGHT if timeline or ops else EDGE
    height = plots + HEIGHT * len(below)
    sheet = Sheet(WIDTH, height, PAPER)
    sheet.box(0.5, 0.5, WIDTH - 1, height - 1, PAPER, RULE)
    half = (WIDTH - 3 * EDGE) / 2
    if timeline:
        _draw_memory(sheet, pens, report, _Frame(EDGE + 62, 58, half - 70, _HEIGHT - 116))
    if ops and report.peaks is not None:
        left = 2 * EDGE + half if timeline else EDGE
        _draw_roofline(sheet, pens, report.peaks, ops, _Frame(left + 62, 58, half - 70, _HEIGHT - 116))
    for i, strip in enumerate(below):
        draw_strip(sheet, strip, pens.head, pens.small, plots + i * HEIGHT)
    return sheet.png()


def _draw_memory(sheet: Sheet, pens: _Pens, report: Report, frame: _Frame) -> None:
    points = report.memory.timeline
    end, most = points[-1].ms or 1.0, max(point.bytes for point in points)
    # from zero: what the call itself adds must not look larger than it is
    low = 0.0

    def at(ms: float, held: float) -> tuple[float, float]:
        return frame.left + frame.width * ms / end, frame.bottom - frame.height * (held - low) / (
            most * 1.08 - low
        )

    sheet.text(frame.left - 62, 30, "Memory held during one call", pens.head, INK)
    for part in (0.0, 0.5, 1.0):
        y = at(0, most * part)[1]
        sheet.box(frame.left, y - 0.4, frame.width, 0.8, RULE)
        sheet.text(frame.left - 8, y + 4, fmt.size(most * part), pens.small, SOFT, "right")
    corners: list[tuple[float, float]] = []
    for i, point in enumerate(points):
        if i:
            corners.append(at(point.ms, points[i - 1].bytes))
        corners.append(at(point.ms, point.bytes))
    sheet.area([(frame.left, frame.bottom), *corners, (corners[-1][0], frame.bottom)], BLUE + "33")
    sheet.line(corners, BLUE, 1.2)
    base = report.memory.weights_bytes or 0
    if 0 < base < most:
        y = at(0, base)[1]
        sheet.line([(frame.left, y), (frame.left + frame.width, y)], GREEN, 1.5)
        below = y + 15 if y + 20 < frame.bottom else y - 6
        sheet.text(
            frame.left + frame.width - 4, below, f"weights {fmt.size(base)}", pens.small, GREEN, "right"
        )
    peak = max(points, key=lambda point: point.bytes)
    x, y = at(peak.ms, peak.bytes)
    sheet.dot(x, y, 4, RED, PAPER)
    side = "left" if x < frame.left + frame.width / 2 else "right"
    sheet.text(x + (8 if side == "left" else -8), y - 5, f"peak {fmt.size(most)}", pens.small, INK, side)  # type: ignore[arg-type]
    sheet.text(frame.left, frame.bottom + 18, "0", pens.small, SOFT, "center")
    sheet.text(frame.left + frame.width, frame.bottom + 18, fmt.duration(end), pens.small, SOFT, "right")


def _plotted(report: Report) -> list[Op]:
    """The ops whose arithmetic and data are known, those that take longest."""
    if report.peaks is None or not report.peaks.bytes_per_s:
        return []
    known = [op for op in report.ops if op.flops and op.bytes and op.self_ms > 0]
    return sorted(known, key=lambda op: -op.self_ms)[:_OPS]


def _draw_roofline(sheet: Sheet, pens: _Pens, peaks: Peaks, ops: list[Op], frame: _Frame) -> None:
    bandwidth = peaks.bytes_per_s or 1.0
    used = {op.dtype for op in ops}
    roofs = {
        name: rate
        for name, rate in peaks.flops_per_s.items()
        if name in used or name in ("tf32", "bfloat16", "int8")
    }
    chosen = sorted(roofs.items(), key=lambda item: (item[0] not in used, item[1]))[:_ROOFS]
    roofs = dict(chosen) or peaks.flops_per_s
    intensity = [(op.flops or 1) / (op.bytes or 1) for op in ops]
    rate = [(op.flops or 1) / (op.self_ms / 1e3) for op in ops]
    low_x, high_x = min(0.05, *intensity), max(max(roofs.values()) / bandwidth * 2, *intensity) * 1.5
    low_y, high_y = min(*rate, bandwidth * low_x) / 2, max(*roofs.values(), *rate) * 4

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            frame.left + frame.width * math.log(x / low_x) / math.log(high_x / low_x),
            frame.bottom - frame.height * math.log(y / low_y) / math.log(high_y / low_y),
        )

    sheet.text(frame.left - 62, 30, "How near the ops come to this machine's limits", pens.head, INK)
    sheet.box(frame.left, frame.top, frame.width, frame.height, PAPER, RULE)
    floor = frame.bottom
    for name, peak in sorted(roofs.items(), key=lambda item: item[1]):
        x, y = at(max(low_x, peak / bandwidth), peak)
        sheet.line([(x, y), (at(high_x, peak)[0], y)], SOFT, 1.2)
        # left of the roof's end nothing can lie; labels of roofs close by give way upwards
        floor = min(y + 4, floor - 14)
        sheet.text(x - 8, floor, f"{name} {fmt.flop(peak)}/s", pens.small, SOFT, "right")
    top = max(roofs.values())
    sheet.line([at(low_x, bandwidth * low_x), at(top / bandwidth, top)], SOFT, 1.2)
    words = f"slope: memory, {fmt.size(bandwidth)}/s; what fits into caches may lie above"
    sheet.text(frame.left - 62, 47, words, pens.small, SOFT)
    for value in (low_y, high_y):
        y = at(low_x, value)[1] + (0 if value == low_y else 10)
        sheet.text(frame.left - 6, y, f"{fmt.flop(value)}/s", pens.small, SOFT, "right")
    longest = max(op.self_ms for op in ops)
    for op, x, y in zip(ops, intensity, rate, strict=True):
        color = _BOUNDS.get(op.bound or "", SOFT)
        sheet.dot(*at(x, max(y, low_y)), 3 + 6 * math.sqrt(op.self_ms / longest), color + "b3", PAPER)
    sheet.text(frame.left, frame.bottom + 18, f"{low_x:.2g}", pens.small, SOFT)
    sheet.text(
        frame.left + frame.width,
        frame.bottom + 18,
        f"{high_x:.3g} operations for each byte",
        pens.small,
        SOFT,
        "right",
    )
    x = frame.left - 62
    for name, color in _BOUNDS.items():
        sheet.dot(x + 5, frame.bottom + 36, 5, color, PAPER)
        words = {"compute": "arithmetic", "memory": "memory", "overhead": "launching"}[name]
        sheet.text(x + 15, frame.bottom + 40, f"bound by {words}", pens.small, INK)
        x += 26 + pens.small.width(f"bound by {words}")
