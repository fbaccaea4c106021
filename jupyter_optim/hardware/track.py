"""One sensor's values over time, thinned as they come: a long window takes no more memory than a short one."""

from __future__ import annotations

from jupyter_optim.report import Series

POINTS = 60
"""At most this many points leave a track."""


class Track:
    """Collects values; low, mean and high are of all of them, the points are means of neighbours."""

    __slots__ = ("_high", "_low", "_pending", "_points", "_stride", "_sum", "_weight", "unit")

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._low = float("inf")
        self._high = float("-inf")
        self._sum = self._weight = 0.0
        self._points: list[tuple[float, float]] = []
        self._pending: list[tuple[float, float]] = []
        self._stride = 1

    def __bool__(self) -> bool:
        return self._weight > 0

    @property
    def mean(self) -> float | None:
        """Mean of all values by weight."""
        return self._sum / self._weight if self._weight > 0 else None

    def add(self, at_s: float, value: float, weight: float = 1.0) -> None:
        """Take a value in.

        Args:
            at_s: when, from the window's start.
            value: what the sensor says.
            weight: for a rate, the time that it covers, so that the mean is the total over the whole time.
        """
        value = float(value)  # a count would be written to JSON as another number than it is read as
        self._low, self._high = min(self._low, value), max(self._high, value)
        self._sum += value * weight
        self._weight += weight
        self._pending.append((at_s, value))
        if len(self._pending) >= self._stride:
            self._points.append(_middle(self._pending))
            self._pending = []
        if len(self._points) >= 2 * POINTS:
            self._points = _halved(self._points)
            self._stride *= 2

    def series(self, reason: str | None = None, *, points: bool = True) -> Series:
        """All that was seen; `reason` where nothing was, or where the sensor fell silent."""
        if not self:
            return Series(unit=self.unit, reason=reason or "the window was too short")
        kept = [*self._points, *([_middle(self._pending)] if self._pending else [])] if points else []
        while len(kept) > POINTS:
            kept = _halved(kept)
        return Series(
            unit=self.unit, low=self._low, mean=self.mean, high=self._high,
            times_s=tuple(at for at, _ in kept), values=tuple(value for _, value in kept), reason=reason,
        )  # fmt: skip


def _halved(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [_middle(points[i : i + 2]) for i in range(0, len(points), 2)]


def _middle(points: list[tuple[float, float]]) -> tuple[float, float]:
    count = len(points)
    return sum(at for at, _ in points) / count, sum(value for _, value in points) / count
