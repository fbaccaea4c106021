"""Reads something again and again while work goes on, in a thread."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jupyter_optim.progress import Progress

_PATIENCE_S = 2.0
"""A driver may hang on a lost GPU: its reading is then left behind."""

Point = tuple[float, float]
"""When, in seconds, and what was read."""


@dataclass(frozen=True, slots=True)
class Run:
    """Work that was repeated, and what was read meanwhile."""

    calls: int
    began_s: float
    elapsed_s: float


class Meter:
    """Reads each of `readings` every `interval_s`; one that answers None is left out of its points."""

    def __init__(self, readings: Sequence[Callable[[], float | None]], interval_s: float) -> None:
        self.points: list[list[Point]] = [[] for _ in readings]
        self._readings, self._interval_s = readings, interval_s
        self._lock = threading.Lock()

    def read(self) -> None:
        """Read everything once."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            return
        try:
            for points, reading in zip(self.points, self._readings, strict=True):
                value = reading()
                if value is not None:
                    points.append((time.perf_counter(), value))
        finally:
            self._lock.release()

    def during(
        self, loop: Callable[[], int], enough: Callable[[float], bool], progress: Progress | None = None
    ) -> Run:
        """Repeat `loop` until it is `enough`, given the seconds so far. What the loop raises passes through."""
        ended = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(ended,), name="jupyter-optim-energy-meter", daemon=True
        )
        self.read()
        began_s = time.perf_counter()
        thread.start()
        calls = 0
        try:
            while True:
                if progress is not None:
                    progress.check()
                calls += loop()
                elapsed_s = time.perf_counter() - began_s
                if enough(elapsed_s):
                    break
            self.read()
        finally:
            ended.set()
            thread.join(_PATIENCE_S)
        return Run(calls, began_s, elapsed_s)

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._interval_s):
            self.read()


def ticks(points: Sequence[Point]) -> list[Point]:
    """When a counter that is renewed now and then was renewed, and to what: between two readings, so halfway."""
    return [
        ((before[0] + after[0]) / 2, after[1])
        for before, after in itertools.pairwise(points)
        if after[1] != before[1]
    ]


def slope(points: Sequence[Point]) -> float | None:
    """Mean rise a second of a counter from its first to its last tick."""
    seen = ticks(points)
    if len(seen) < 2 or seen[-1][1] <= seen[0][1]:
        return None
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def mean_over_time(points: Sequence[Point]) -> float | None:
    """Mean of a reading over time: the trapezoids under it, over their width."""
    if len(points) < 2:
        return None
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    return area / (points[-1][0] - points[0][0])
