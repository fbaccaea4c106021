"""CPU time of things that come and go, each from the moment at which it was first of interest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_optim.report import Worker


@dataclass(slots=True)
class _Clock:
    name: str
    first_s: float
    last_s: float

    @property
    def spent_s(self) -> float:
        return max(0.0, self.last_s - self.first_s)


class Spent:
    """The clocks of several threads or processes, by their numbers.

    Those that are there at the first look count from then on, and those that come later from their beginning.
    """

    def __init__(self) -> None:
        self._clocks: dict[int, _Clock] = {}
        self._present: set[int] = set()
        self._most: Counter[str] = Counter()
        self._looks = 0

    def look(self, seen: Iterator[tuple[int, str, float]]) -> None:
        """All that are there now: number, name, and CPU time since they began, in seconds."""
        self._present = set()
        for number, name, cpu_s in seen:
            clock = self._clocks.setdefault(number, _Clock(name, 0.0 if self._looks else cpu_s, cpu_s))
            # a worker takes its name only when it has begun
            clock.name, clock.last_s = name, cpu_s
            self._present.add(number)
        self._looks += 1
        at_work = (self._clocks[number] for number in self._present)
        self._most |= Counter(clock.name for clock in at_work if clock.spent_s > 0)

    @property
    def cpu_s(self) -> float:
        """Of all, as far as it was seen: what comes after the last look at each is missing."""
        return sum(clock.spent_s for clock in self._clocks.values())

    @property
    def ended(self) -> set[str]:
        """Names of those that took time and were gone at the last look."""
        return {
            clock.name
            for number, clock in self._clocks.items()
            if number not in self._present and clock.spent_s > 0
        }

    def workers(self, *, process: bool) -> tuple[Worker, ...]:
        """One row for each name that took time."""
        by_name: dict[str, float] = defaultdict(float)
        for clock in self._clocks.values():
            by_name[clock.name] += clock.spent_s
        return tuple(
            Worker(name=name, process=process, cpu_s=cpu_s, count=self._most[name] or None)
            for name, cpu_s in by_name.items()
            if cpu_s > 0
        )
