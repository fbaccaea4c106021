"""Figures within sentences."""

from __future__ import annotations

from jupyter_optim.report import Report


def duration(ms: float) -> str:
    """A time given in milliseconds: ``1.26 s``, ``12.3 ms``, ``4.5 µs``."""
    if ms == 0:
        return "0 ms"
    if ms >= 1000:
        return f"{ms / 1e3:.3g} s"
    return f"{ms:.3g} ms" if ms >= 0.1 else f"{ms * 1e3:.3g} µs"


def per(report: Report) -> str:
    """What the times of the report's rows are of: ``a call``, ``a step``, or all of a trace that tells no steps."""
    if report.trace.source != "file":
        return "a call"
    return "a step" if report.latency.repeats else "in all of the trace"
