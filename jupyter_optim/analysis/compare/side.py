"""One report's time of a call: which figure to believe, how sure it is, and its rows as parts of that time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import msgspec

from jupyter_optim.analysis.speedups import possible
from jupyter_optim.report import Interval, Report

UNSURE = 0.25
"""Logarithm of what is assumed to either side of a time without an interval."""

_FEW = 6
"""Below 6 repeats not even the fastest and the slowest enclose the median with 95%: 1 - 2 * 0.5^5 is 94%."""


@dataclass(frozen=True, slots=True)
class Side:
    """A report and its time of a call."""

    report: Report
    call: Interval | None
    """Clean time of a call in ms; the interval is wide where the report has none."""
    width: float
    """Logarithm of that interval's farther end over its median.

    The farther, whichever it is: calls that were disturbed to one side come from a machine that was busy, and a whole
    report of it may be off to either side (seen: 87 ms, 95% CI 85 to 186, for a model of 70 ms).
    """
    sure: bool
    """Whether the interval was measured."""
    total_ms: float = 0.0
    """Of the call: what the rows sum to, once they are `scaled`, with `rest_ms`."""
    rest_ms: float = 0.0
    """In no op."""
    scale: float = 1.0
    """From a traced time to a part of `total_ms`."""

    @classmethod
    def of(cls, report: Report) -> Side:
        """The report with its time, and its rows as they are."""
        latency, median = report.latency, possible(report.latency.median_ms)
        low, high = possible(latency.low_ms), possible(latency.high_ms)
        sure = latency.status == "measured" and latency.repeats >= _FEW and None not in (low, high)
        if median is None:
            return cls(report, None, UNSURE, sure)
        least = 1.0 if sure else math.exp(UNSURE)
        call = Interval(
            low=min(low or median, median / least), median=median, high=max(high or median, median * least)
        )
        return cls(report, call, math.log(max(median / call.low, call.high / median)), sure)

    @property
    def calls(self) -> int:
        """Traced calls."""
        return max(1, self.report.trace.calls)

    def scaled(self, total_ms: float | None) -> Side:
        """This with rows that sum to `total_ms`, or to the traced time if that is None; impossible times become 0."""
        report = self.report
        in_ops = sum(time_or_0(op.self_ms) for op in report.ops)
        traced = max(time_or_0(report.trace.call_ms), in_ops)
        total = total_ms or traced
        scale = total / traced if traced else 0.0
        ops = (
            msgspec.structs.replace(op, self_ms=time_or_0(op.self_ms) * scale, calls=time_or_0(op.calls))
            for op in report.ops
        )
        modules = (
            msgspec.structs.replace(row, self_ms=time_or_0(row.self_ms) * scale) for row in report.modules
        )
        rows = msgspec.structs.replace(report, ops=tuple(ops), modules=tuple(modules))
        return replace(self, report=rows, total_ms=total, rest_ms=(traced - in_ops) * scale, scale=scale)


def time_or_0(value: float | None) -> float:
    """`value`, or 0 if it is not `possible`."""
    return possible(value) or 0.0
