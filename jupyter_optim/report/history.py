"""What was tried, and what came of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from jupyter_optim.report.base import Data, Interval

Verdict = Literal["faster", "smaller", "no gain", "slower", "quality lost", "failed"]


class Quality(Data, frozen=True, kw_only=True):
    """What a technique did to the model's answers."""

    metric: str
    """``evaluate``, or ``fidelity`` (cosine similarity to the original's outputs)."""
    before: float
    after: float
    drop: float
    """`before` less `after`; positive is worse."""
    max_drop: float
    """The largest `drop` allowed."""
    details: dict[str, float] = msgspec.field(default_factory=dict)


class StepRecord(Data, frozen=True, kw_only=True):
    """One entry of the history: a technique that was tried, and what came of it."""

    technique: str
    label: str
    options: dict[str, Any]
    verdict: Verdict
    reason: str
    accepted: bool
    undone: bool
    speedup: Interval | None
    predicted_speedup: float | None
    size_ratio: float | None
    quality: Quality | None
    before_ms: float | None
    after_ms: float | None
    took_s: float
    """Wall time of the whole step: transformation, timing, judging."""
    note: str = ""
    """What was done, in the technique's own words."""
