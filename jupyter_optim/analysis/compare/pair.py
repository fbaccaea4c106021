"""Two reports at one speed of the machine, and what counts as a change between their rows.

No row has an interval of its own: a trace holds a few calls only. What counts as noise was measured on reports of
unchanged models (an MLP and a 6-layer BERT on two shared cores, 5 and 3 reports of one process, 3 traced calls each):
medians of the calls differed by up to 10% while their own intervals were 1% wide, and one layer by up to 30%. So a row
is noise within ``sqrt(drift^2 + width_before^2 + width_after^2 + spread^2)`` of its larger time, on the scale of
logarithms, and 0.5% of the call more: `drift` is that 10%; the widths are those of the two latencies' intervals;
`spread` is 0.35 for one row of one traced call, and falls with the root of calls and rows. Between any two of those
reports no group, 8 of 458 ops and 2 of 818 modules changed by more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from jupyter_optim.analysis.compare.comparison import Change, LatencyChange, RowStatus
from jupyter_optim.analysis.compare.side import Side

_ROW_SPREAD = 0.35
_FLOOR = 0.005

_C = TypeVar("_C", bound=Change)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sides with rows that compare."""

    sides: tuple[Side, Side]
    latency: LatencyChange
    drift: float

    @classmethod
    def of(cls, before: Side, after: Side, latency: LatencyChange, drift: float) -> Pair:
        """Rows in parts of the call's time; none of a kind that one report does not have: not measured is not gone."""
        known = latency.delta_ms is not None
        first = before.scaled(latency.before_ms if known else None)
        last = after.scaled(latency.after_ms if known else None)
        bare: dict[str, Any] = {
            kind: () for kind in ("ops", "modules", "lines")
            if not (getattr(before.report, kind) and getattr(after.report, kind))
        }  # fmt: skip
        first, last = (
            replace(side, report=msgspec.structs.replace(side.report, **bare)) for side in (first, last)
        )
        return cls((first, last), latency, drift)

    @property
    def changed(self) -> bool:
        """Whether the whole call changed beyond noise, so that a row can have a share of that."""
        return self.latency.verdict in ("faster", "slower") and bool(self.latency.delta_ms)

    @property
    def longer_ms(self) -> float:
        """The longer of the two calls."""
        return max(side.total_ms for side in self.sides)

    @property
    def floor_ms(self) -> float:
        """What is noise whatever it is a change of."""
        return _FLOOR * self.longer_ms

    @property
    def method(self) -> str:
        """How noise was told from change, in a sentence."""
        before, after = (
            f"{n} call{'' if n == 1 else 's'}" for n in (s.report.trace.calls for s in self.sides)
        )
        return (
            f"Rows come from traces of {before} before and {after} after, and have no interval of their own: a change "
            f"of one layer counts beyond {self._threshold(1):.0%} of it and {_FLOOR:.1%} of the call."
        )

    def change(self, kind: type[_C], name: str, ms: Sequence[float | None], rows: int, **more: Any) -> _C:
        """The change of one thing whose times, before and after, are sums of `rows` rows of the trace."""
        before_ms, after_ms = ms
        larger = max(before_ms or 0.0, after_ms or 0.0)
        delta = (after_ms or 0.0) - (before_ms or 0.0)
        missing = before_ms is None or after_ms is None
        # what only one report has is there for sure, if it is large enough to be anything
        noise = self.floor_ms if missing else self.floor_ms + self._threshold(rows) * larger
        status: RowStatus = (
            "noise" if abs(delta) <= noise
            else "new" if before_ms is None
            else "gone" if after_ms is None
            else "faster" if delta < 0 else "slower"
        )  # fmt: skip
        share = delta / (self.latency.delta_ms or 1.0) if self.changed else None
        return kind(name=name, before_ms=before_ms, after_ms=after_ms, delta_ms=delta, share=share, noise_ms=noise,
                    status=status, **more)  # fmt: skip

    def _threshold(self, rows: int) -> float:
        """The fraction of its larger time within which a sum of `rows` rows is noise."""
        before, after = self.sides
        spread = _ROW_SPREAD * math.sqrt((1 / before.calls + 1 / after.calls) / max(1, rows))
        return 1 - math.exp(-math.hypot(math.log1p(self.drift), before.width, after.width, spread))
