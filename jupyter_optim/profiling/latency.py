"""Clean timing: how long one call takes, without a profiler, and how sure that is.

`torch.utils.benchmark` defaults to one thread and so misstates CPU speed; here the thread count is the one
that the user has set.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from jupyter_optim.progress import Progress
from jupyter_optim.report import Latency
from jupyter_optim.workload import Workload

_MIN_WARMUP = 3
_SETTLED = 0.05
"""Warm-up ends when a call is within this fraction of the fastest of the calls before it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a timing may take. It ends at `max_repeats`, or after `seconds`, once it has `min_repeats`."""

    seconds: float = 1.0
    min_repeats: int = 10
    max_repeats: int = 200
    max_warmup_calls: int = 8
    warmup_s: float = 0.5
    """No further warm-up call once this much time went into it, from the third call on."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of single calls, in order."""

    samples_ms: tuple[float, ...]
    warmup_calls: int
    settled: bool
    interrupted: bool = False


def synchronizer(device: torch.device) -> Callable[[], None]:
    """A function that waits until `device` has done all that it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


@contextmanager
def no_gc() -> Iterator[None]:
    """Python's garbage collector pauses, as under `timeit`: it would strike calls at random."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def time_calls(workload: Workload, progress: Progress, budget: Budget | None = None) -> Timing:
    """Time single calls of the workload, after a warm-up that ends when the times settle.

    The caller keeps the model undisturbed. A KeyboardInterrupt or `Cancelled` passes through.
    """
    budget = budget or Budget()
    model, synchronize = workload.model, synchronizer(workload.device)

    def once() -> float:
        progress.check()
        args, kwargs = workload.fresh_inputs()
        synchronize()
        began = time.perf_counter()
        workload.call(model, args, kwargs)
        synchronize()
        return (time.perf_counter() - began) * 1e3

    with workload.mode.applied(model), no_gc():
        warmup, settled = _warm_up(once, budget)
        samples: list[float] = []
        deadline = time.perf_counter() + budget.seconds
        while len(samples) < budget.max_repeats:
            samples.append(once())
            if len(samples) >= budget.min_repeats and time.perf_counter() > deadline:
                break
    return Timing(tuple(samples), warmup, settled)


def _warm_up(once: Callable[[], float], budget: Budget) -> tuple[int, bool]:
    """Call until the times settle: the number of calls, and whether they did."""
    best = spent_ms = once()
    calls = 1
    while calls < budget.max_warmup_calls and (calls < _MIN_WARMUP or spent_ms < budget.warmup_s * 1e3):
        latest = once()
        calls += 1
        if abs(latest - best) <= _SETTLED * best:
            return calls, True
        best, spent_ms = min(best, latest), spent_ms + latest
    return calls, False


def median_interval(samples: tuple[float, ...]) -> tuple[float, float, float]:
    """The median and its 95% confidence interval, from the order of the samples.

    Distribution-free: the interval's ends are the samples at ranks n/2 -+ 1.96 sqrt(n)/2 (normal approximation
    to the binomial; Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2).
    """
    ordered = sorted(samples)
    count = len(ordered)
    half = 1.96 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - half))
    high = min(count - 1, math.ceil(count / 2 + half))
    return ordered[low], float(np.median(ordered)), ordered[high]


def latency_of(timing: Timing, batch_size: int | None) -> Latency:
    """The figures of a clean timing."""
    low, median, high = median_interval(timing.samples_ms)
    method = (
        f"{len(timing.samples_ms)} single calls without a profiler after {timing.warmup_calls} warm-up calls, "
        f"{torch.get_num_threads()} threads; median with 95% confidence interval"
    )
    return _latency(timing.samples_ms, (low, median, high), timing.warmup_calls, batch_size, method,
                    None if timing.settled else "the times had not settled after the warm-up: the machine may be busy, so run it again")  # fmt: skip


def latency_of_run(call_ms: tuple[float, ...], batch_size: int | None, why: str) -> Latency:
    """The figures of a model that cannot be replayed: its calls in the cell's own run, the profiler on."""
    low, median, high = median_interval(call_ms)
    method = f"{len(call_ms)} calls in the cell's own run, first call and profiler included"
    return _latency(call_ms, (low, median, high), 0, batch_size, method, why)


def _latency(
    samples: tuple[float, ...], interval: tuple[float, float, float], warmup: int, batch_size: int | None,
    method: str, reason: str | None,
) -> Latency:  # fmt: skip
    low, median, high = interval
    per_s = 1e3 / median if median > 0 else None
    return Latency(
        median_ms=median, low_ms=low, high_ms=high,
        p95_ms=float(np.percentile(samples, 95)) if len(samples) >= 20 else None,
        repeats=len(samples), warmup_calls=warmup, throughput_per_s=per_s,
        samples_per_s=per_s * batch_size if per_s is not None and batch_size is not None else None,
        status="measured", method=method, reason=reason,
    )  # fmt: skip
