"""The shortest time in which something can be done: the other rounds were disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from jupyter_optim.progress import Progress

_MIN_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """How much of something is done in a second, and how that was got."""

    per_s: float
    method: str


def synchronizer(device: torch.device) -> Callable[[], None]:
    """A function that waits until `device` has done all that it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


class Race:
    """Times rounds of one thing for some `seconds`, three rounds at least, after one that does not count."""

    def __init__(self, synchronize: Callable[[], None], progress: Progress, seconds: float) -> None:
        self._synchronize, self._progress, self._seconds = synchronize, progress, seconds

    def best_s(self, work: Callable[[], object]) -> float:
        """Time of the fastest round."""
        first_s = self._round_s(work)
        # a round of microseconds says little, least of all on a device that is given work ahead
        repeats = max(1, min(1_000, round(0.002 / max(first_s, 1e-7))))
        best_s, rounds, deadline = first_s, 0, time.perf_counter() + self._seconds
        while rounds < _MIN_ROUNDS or time.perf_counter() < deadline:
            best_s = min(best_s, self._round_s(work, repeats))
            rounds += 1
            if best_s > self._seconds:
                break
        return best_s

    def _round_s(self, work: Callable[[], object], repeats: int = 1) -> float:
        self._progress.check()
        self._synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        self._synchronize()
        return (time.perf_counter() - began) / repeats
