"""How long a call takes, and what it computes."""

from __future__ import annotations

from jupyter_optim.report.base import Data, Status


class Latency(Data, frozen=True, kw_only=True):
    """Wall time of one call, without a profiler."""

    median_ms: float | None
    low_ms: float | None
    high_ms: float | None
    """95% confidence interval of the median."""
    p95_ms: float | None
    """None below 20 repeats, where a 95th percentile means nothing."""
    repeats: int
    warmup_calls: int
    throughput_per_s: float | None
    """Calls a second."""
    samples_per_s: float | None
    """Calls a second times the batch size, where a batch size is known."""
    status: Status
    method: str
    reason: str | None = None


class Flops(Data, frozen=True, kw_only=True):
    """Floating-point operations of one call."""

    total: int | None
    status: Status
    method: str
    reason: str | None = None
