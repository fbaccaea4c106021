"""Speed-ups of several steps as that of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jupyter_optim.report import Interval

_IMPOSSIBLE = 1e15


def possible(value: float | None) -> float | None:
    """`value`, or None if it cannot be a time or a ratio of times: NaN, 0, or a million billion."""
    return value if value is not None and 1 / _IMPOSSIBLE <= value <= _IMPOSSIBLE else None


def product(speedups: Iterable[Interval | None]) -> Interval | None:
    """The speed-up of steps that were each timed against the one before; None if one was not timed.

    As the intervals' ends are multiplied too, it claims too little, not too much.
    """
    ends = []
    for each in speedups:
        if each is None or None in map(possible, (each.low, each.median, each.high)):
            return None
        ends.append((each.low, each.median, each.high))
    low, median, high = (
        sorted(math.prod(each) for each in zip(*ends, strict=True)) if ends else (1.0, 1.0, 1.0)
    )
    known = possible(low) and possible(high)
    return Interval(low=low, median=median, high=high) if known else None


def inverse(speedup: Interval | None) -> Interval | None:
    """The speed-up of taking the step back."""
    if speedup is None or None in map(possible, (speedup.low, speedup.median, speedup.high)):
        return None
    return Interval(low=1 / speedup.high, median=1 / speedup.median, high=1 / speedup.low)
