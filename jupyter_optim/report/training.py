"""The steps of a training."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data
from jupyter_optim.report.memory import Holder

PhaseName = Literal["data", "forward", "backward", "optimizer", "other"]


class PhasePart(Data, frozen=True, kw_only=True):
    """An op, a module or a line, and what it takes of a phase."""

    name: str
    """The op's name, the module's qualified name ("" is the root), or ``source:lineno``."""
    ms: float
    """In one step, by itself."""
    share: float
    """Of the phase."""


class Phase(Data, frozen=True, kw_only=True):
    """A part of each training step."""

    name: PhaseName
    ms: float
    """Of one step."""
    share: float
    ops: float | None
    """Ops that it calls in one step."""
    top_ops: tuple[PhasePart, ...] = ()
    top_modules: tuple[PhasePart, ...] = ()
    """Backward time belongs to the module whose forward made it necessary."""
    top_lines: tuple[PhasePart, ...] = ()
    peak_bytes: int | None = None
    """The most that was held during it, above what was held as the recording began."""


class Training(Data, frozen=True, kw_only=True):
    """The training steps of a cell, as far as they were recorded."""

    steps: int
    step_ms: float
    """Wall time of one step, under the profiler."""
    phases: tuple[Phase, ...]
    method: str
    reason: str | None = None
    peak_bytes: int | None = None
    """The most that the steps held, weights included."""
    at_peak: tuple[Holder, ...] = ()
    """What was held then, by kind."""
