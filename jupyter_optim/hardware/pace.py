"""How often sensors are read, so that reading stays cheap."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class Pace:
    """How often something is read: at its interval, or less often if reading is dear."""

    def __init__(self, interval_s: float, cost: float) -> None:
        self.base_s = self.interval_s = interval_s
        self.count = 0
        self._cost = cost
        self._last_s = 0.0

    def due(self, at_s: float, *, ended: bool) -> bool:
        """Whether it is time to read; at the end, whether something would be missing else."""
        if self.count == 0:
            return True
        # a wait may end a hair early, and a rate over a sliver of an interval says nothing
        return at_s - self._last_s > self.interval_s * (0.5 if ended else 0.9)

    def take(self, at_s: float, readings: Sequence[Callable[[float], None]]) -> None:
        """Read, and see what that costs."""
        before_s = time.thread_time()
        self.count, self._last_s = self.count + 1, at_s
        for read in readings:
            read(at_s)
        self.interval_s = max(self.base_s, (time.thread_time() - before_s) / self._cost)
