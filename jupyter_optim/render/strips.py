"""Bars that split one length of time: a training step into its phases, a call into the GPU's work and its waiting."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_optim.render import format as fmt
from jupyter_optim.render.gpu import reason_words
from jupyter_optim.render.palette import BLUE, EDGE, GREEN, INK, ORANGE, PAPER, PINK, RED, SKY, SOFT, WIDTH
from jupyter_optim.render.sheet import Pen, Sheet
from jupyter_optim.report import IdleReason, PhaseName, Report

HEIGHT = 92
"""Of one strip, in points."""

_BAR = 26
_DOT = 5
_LEAST = 0.005
_NONE = "#cfd4d9"
_PHASES: dict[PhaseName, str] = {
    "data": RED, "forward": BLUE, "backward": ORANGE, "optimizer": GREEN, "other": _NONE,
}  # fmt: skip
_IDLE: dict[IdleReason, str] = {
    "launch": RED, "synchronisation": ORANGE, "data loading": PINK, "between kernels": SKY,
    "before the first": _NONE, "after the last": _NONE, "unknown": _NONE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Strip:
    """A length of time and its parts: names, shares and colours."""

    title: str
    parts: tuple[tuple[str, float, str], ...]


def strips(report: Report) -> list[Strip]:
    """The strips for which a report has figures."""
    found = []
    if report.training is not None:
        title = f"A training step, {fmt.duration(report.training.step_ms)}"
        found.append(
            Strip(
                title, tuple((each.name, each.share, _PHASES[each.name]) for each in report.training.phases)
            )
        )
    if report.gpu is not None:
        waits = tuple(
            (f"idle: {reason_words(each)}", each.share, _IDLE[each.reason]) for each in report.gpu.idle
        )
        title = f"The GPU during a call, {fmt.duration(report.gpu.busy_ms + report.gpu.idle_ms)}"
        found.append(Strip(title, (("works", report.gpu.busy_share, BLUE), *waits)))
    return found


def draw_strip(sheet: Sheet, strip: Strip, head: Pen, small: Pen, top: float) -> None:
    """Draw a strip across the sheet: its title, its bar, and what each colour is."""
    sheet.text(EDGE, top + 14, strip.title, head, INK)
    x, legend, room = float(EDGE), float(EDGE), WIDTH - 2 * EDGE
    for name, share, color in strip.parts:
        width = room * max(0.0, min(1.0, share))
        sheet.box(x, top + 26, width, _BAR, color, PAPER)
        x += width
        words = f"{name} {fmt.share(share)}"
        if share < _LEAST or legend + 16 + small.width(words) > WIDTH - EDGE:
            continue
        sheet.dot(legend + _DOT, top + 26 + _BAR + 16, _DOT, color, PAPER)
        sheet.text(legend + 15, top + 26 + _BAR + 20, words, small, SOFT)
        legend += 28 + small.width(words)
