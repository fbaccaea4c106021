"""How the time of one call changed, by which of two timings, and whether that is more than noise."""

from __future__ import annotations

import math

from jupyter_optim.analysis.compare.comparison import LatencyChange, Verdict
from jupyter_optim.analysis.compare.side import Side
from jupyter_optim.analysis.compare.steps import Between
from jupyter_optim.report import Interval


def latency_change(before: Side, after: Side, between: Between | None, drift: float) -> LatencyChange:
    """By the steps' own timing if there is one: what was timed side by side, in turns, knows no drift."""
    paired, measured = between.speedup if between else None, _ratio(before, after, drift)
    speedup, drifted = paired or measured, False
    if paired is not None and measured is not None:
        slack = 1 + drift
        drifted = not paired.low / slack <= measured.median <= paired.high * slack
    first, last = (side.call.median if side.call else None for side in (before, after))
    if between is not None and paired is not None and (drifted or first is None or last is None):
        if last is not None and (between.after_is_newer or first is None):
            first = last * paired.median
        elif first is not None:
            last = first / paired.median
    verdict, reason = _verdict(speedup, paired is not None, drift)
    return LatencyChange(
        before=before.call, after=after.call, sure=before.sure and after.sure, speedup=speedup, measured=measured,
        basis=None if speedup is None else "paired" if paired is not None else "measured", drifted=drifted,
        before_ms=first, after_ms=last, delta_ms=None if first is None or last is None else last - first,
        verdict=verdict, reason=reason or _no_time(before, after),
    )  # fmt: skip


def _ratio(before: Side, after: Side, drift: float) -> Interval | None:
    """Time before over time after, with an interval from those of the two medians.

    On logarithms, so that before and after may change places; the errors of the two medians and the machine's drift
    between two reports are independent, so their squares add up.
    """
    if before.call is None or after.call is None:
        return None
    ratio = before.call.median / after.call.median
    width = math.exp(math.hypot(before.width, after.width, math.log1p(drift)))
    return Interval(low=ratio / width, median=ratio, high=ratio * width)


def _verdict(speedup: Interval | None, paired: bool, drift: float) -> tuple[Verdict, str]:
    if speedup is None:
        return "unknown", ""
    how = (
        "the two were timed side by side, in turns" if paired
        else f"by the two reports' times, with {drift:.0%} allowed for the machine's own drift between them"
    )  # fmt: skip
    if speedup.low <= 1 <= speedup.high:
        return "noise", f"the interval of the speed-up holds 1; {how}"
    return "faster" if speedup.low > 1 else "slower", how


def _no_time(before: Side, after: Side) -> str:
    which, side = ("before", before) if before.call is None else ("after", after)
    why = side.report.latency.reason or side.report.workload.reason or "no reason was given"
    return f"the report {which} has no time of a call: {why.strip().rstrip('.')}"
