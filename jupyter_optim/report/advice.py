"""What is worth knowing, and what would help."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data

Goal = Literal["latency", "memory", "size", "energy"]
Severity = Literal["high", "medium", "low", "info"]


class Finding(Data, frozen=True, kw_only=True):
    """Something worth knowing, in plain words, with its evidence."""

    kind: str
    title: str
    text: str
    share: float | None
    """Fraction of the call's time that it concerns."""
    severity: Severity
    evidence: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


class Recommendation(Data, frozen=True, kw_only=True):
    """A technique that applies to this model, with what it should bring."""

    technique: str
    label: str
    family: str
    predicted_speedup: float | None
    covers_share: float | None
    """Fraction of the call's time in the layers that the technique changes."""
    predicted_size_ratio: float | None
    """Predicted weight bytes over present weight bytes."""
    reason: str
    risk: str
    method: str
    """How the prediction was got."""
