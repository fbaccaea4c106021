"""One entry of a session's history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jupyter_optim.report import Interval, Quality, Report, StepRecord, Verdict


@dataclass(slots=True, eq=False)
class Step:
    """A technique that was tried, and what came of it.

    Attributes:
        verdict: ``faster``, ``smaller``, ``no gain``, ``slower``, ``quality lost`` or ``failed``.
        reason: the verdict in a sentence with its figures, or why it failed.
        accepted: it was put into the live model.
        undone: it was taken out again.
        speedup: time before over time after, from paired blocks; None if it failed.
        size_ratio: weight bytes after over before.
        quality: what it did to the answers.
        note: what was done, in the technique's own words.
        facts: what the technique needs to do it again, elsewhere.
        report: the report after this step.
    """

    technique: str
    label: str
    options: dict[str, Any]
    verdict: Verdict
    reason: str
    accepted: bool
    undone: bool = False
    speedup: Interval | None = None
    predicted_speedup: float | None = None
    size_ratio: float | None = None
    quality: Quality | None = None
    before_ms: float | None = None
    after_ms: float | None = None
    took_s: float = 0.0
    note: str = ""
    code: str = field(default="", repr=False)
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    report: Report | None = field(default=None, repr=False)

    def record(self) -> StepRecord:
        """This step as plain data."""
        return StepRecord(
            technique=self.technique, label=self.label, options=self.options, verdict=self.verdict,
            reason=self.reason, accepted=self.accepted, undone=self.undone, speedup=self.speedup,
            predicted_speedup=self.predicted_speedup, size_ratio=self.size_ratio, quality=self.quality,
            before_ms=self.before_ms, after_ms=self.after_ms, took_s=self.took_s, note=self.note,
        )  # fmt: skip


def sentence(
    verdict: Verdict, *, speedup: Interval, size_ratio: float, quality: Quality, kept: bool, note: str
) -> str:  # fmt: skip
    """The verdict with its figures: "4.2x faster (95% CI 4.0 to 4.4), 62% smaller, cosine 0.9999: kept."."""
    parts = [_speed(speedup), *_size(size_ratio), _quality(quality)]
    if kept:
        end = "kept" if verdict in ("faster", "smaller") else "kept because you asked for it"
    else:
        end = {
            "quality lost": f"left out, the drop of {quality.drop:.3g} is more than the {quality.max_drop:.3g} allowed",
            "slower": "left out, it is slower",
            "no gain": "left out, no gain beyond noise",
        }.get(verdict, "left out")
    return f"{', '.join(parts)}: {end}." + (f" ({note})" if note else "")


def _speed(speedup: Interval) -> str:
    interval = f"95% CI {_ratio(speedup.low)} to {_ratio(speedup.high)}"
    if speedup.low > 1.0:
        return f"{speedup.median:.3g}x faster ({interval})"
    if speedup.high < 1.0:
        return f"{1 / speedup.median:.3g}x slower (speed-up {speedup.median:.3g}, {interval})"
    return f"as fast as before within noise (speed-up {speedup.median:.3g}, {interval})"


def _size(ratio: float) -> list[str]:
    if abs(1 - ratio) < 0.005:
        return []
    return [f"{1 - ratio:.0%} smaller" if ratio < 1 else f"{ratio - 1:.0%} larger"]


def _quality(quality: Quality) -> str:
    if quality.metric == "fidelity":
        return f"cosine {quality.after:.5g}"
    return f"evaluate {quality.before:.4g} -> {quality.after:.4g}"


def _ratio(value: float) -> str:
    """Four digits near 1, where the third decides whether there is a gain."""
    return f"{value:.4g}" if 0.9 < value < 1.1 else f"{value:.3g}"
