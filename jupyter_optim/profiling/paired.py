"""Paired timing: the live model and its draft side by side, so that drift and noisy neighbours cancel.

A and B alternate in blocks of several calls: single calls would evict each other's weights from the caches
(seen: 8.7x instead of 12x for an int8 MLP). The first call of each block brings the weights back, and is
not counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from jupyter_optim.profiling.latency import no_gc, synchronizer
from jupyter_optim.progress import Progress
from jupyter_optim.report import Interval
from jupyter_optim.workload import Workload

_BLOCK_CALLS = 5
_BLOCK_S = 0.02
_ENOUGH_S = 0.3
"""A block that takes this long need not have all these calls: its first one brought the weights back."""

_LONG_S = 0.5
"""Calls this long are looked at once only before they are timed."""

_FAR_SLOWER, _FAR_SLOWER_PAIRS = 0.5, 2
"""A draft whose calls are long, at less than half the speed in each of the first pairs, is not timed further: nothing
narrower is needed to turn it down (bfloat16 convolutions on a CPU without such arithmetic: 40 times as long). Short calls
on a busy machine may look like that, and cost little to time again."""

CLEAR_GAIN = 1.1
"""An interval wholly beyond this, or beyond its inverse, settles whether the draft is faster: pairs go on for the
figure's sake alone. Below, luck clears 1 once in forty times, and more on a busy machine."""

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class PairedBudget:
    """How many pairs of blocks: until the interval is narrow, or the time is used up."""

    min_pairs: int = 6
    max_pairs: int = 30
    seconds: float = 6.0
    width: float = 0.04
    """The interval's width over its median at which more pairs tell nothing new."""
    clear_width: float = 0.1
    """The same, once it is clear which one is faster."""

    def settled(self, interval: Interval) -> bool:
        """Whether `interval` is narrow enough for what it has to tell."""
        clear = interval.low > CLEAR_GAIN or interval.high < 1 / CLEAR_GAIN
        width = self.clear_width if clear else self.width
        return interval.high - interval.low < width * interval.median


@dataclass(frozen=True, slots=True)
class PairedTiming:
    """What the pairs say; `speedup` is time of A over time of B."""

    speedup: Interval
    before_ms: float
    after_ms: float
    pairs: int
    block_calls: int


def time_pair(
    workload: Workload,
    live: nn.Module,
    draft: nn.Module,
    progress: Progress,
    budget: PairedBudget | None = None,
) -> PairedTiming:
    """Time `live` against `draft` on the workload's inputs, in alternating blocks.

    The caller keeps both undisturbed. Each model is called once beforehand, so that what is compiled or
    packed at a first call does not count.
    """
    budget = budget or PairedBudget()
    a, b = _block_timer(workload, live, progress), _block_timer(workload, draft, progress)
    usual = (_usual_s(a), _usual_s(b))
    calls = _block_calls(usual)
    befores: list[float] = []
    afters: list[float] = []
    deadline = time.perf_counter() + budget.seconds
    with no_gc():
        for pair in range(budget.max_pairs):
            progress.report(f"Timing, pair {pair + 1}", None)
            # whoever goes second would profit from a clock that rises: take turns
            first, second = (a, b) if pair % 2 == 0 else (b, a)
            times = {first: first(calls), second: second(calls)}
            befores.append(times[a])
            afters.append(times[b])
            if (
                pair + 1 == _FAR_SLOWER_PAIRS
                and usual[1] > _LONG_S
                and all(before < _FAR_SLOWER * after for before, after in zip(befores, afters, strict=True))
            ):
                break
            if pair + 1 >= budget.min_pairs and (
                time.perf_counter() > deadline or budget.settled(ratio_interval(befores, afters))
            ):
                break
    return PairedTiming(
        ratio_interval(befores, afters),
        float(np.median(befores)),
        float(np.median(afters)),
        len(befores),
        calls,
    )


def _block_calls(usual_s: tuple[float, float]) -> int:
    """Calls in a block, besides the one that is left out: several, long enough together; fewer where each is long."""
    several = max(_BLOCK_CALLS - 1, math.ceil(_BLOCK_S / min(usual_s)))
    return min(several, math.ceil(_ENOUGH_S / max(usual_s)))


def _block_timer(workload: Workload, model: nn.Module, progress: Progress) -> Callable[[int], float]:
    """A function that times a block of so many calls: ms for one call, the first one of the block left out."""
    synchronize = synchronizer(workload.device)

    def block(calls: int) -> float:
        with workload.mode.applied(model):
            inputs = [workload.fresh_inputs() for _ in range(calls + 1)] if workload.mutates_inputs else None
            kept = workload.fresh_inputs()
            workload.call(model, *(kept if inputs is None else inputs.pop()))
            synchronize()
            progress.check()
            began = time.perf_counter()
            for _ in range(calls):
                workload.call(model, *(kept if inputs is None else inputs.pop()))
            synchronize()
            return (time.perf_counter() - began) * 1e3 / calls

    return block


def _usual_s(block: Callable[[int], float]) -> float:
    """Seconds of a call, after one that may do the work of a first call, unless the call is long."""
    once_s = block(1) / 1e3
    return max(1e-7, once_s if once_s > _LONG_S else block(1) / 1e3)


def ratio_interval(befores: list[float], afters: list[float]) -> Interval:
    """Median of the pairs' ratios, with its 95% interval by the percentile bootstrap over pairs.

    Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13. The seed is fixed: the same times give
    the same interval.
    """
    ratios = np.asarray(befores) / np.asarray(afters)
    draws = np.random.default_rng(0).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return Interval(low=float(low), median=float(np.median(ratios)), high=float(high))
