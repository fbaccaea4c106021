"""What every bar needs: a clock, and the spread of what it showed."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

Result = dict[str, Any]
"""What a bar found: `bar` in words, `holds`, mostly a `ratio`, and the figures behind it."""


def spread(values: Sequence[float]) -> Result:
    """Median, extremes, and how many there were."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def quartiles(values: Sequence[float]) -> Result:
    """Median, the quartiles around it, extremes, and how many there were."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quarter": low, "three_quarters": high, "min": min(values), "max": max(values),
            "count": len(values)}  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """Wall time of `work`, after the garbage of others is collected."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
