"""The phases of a training step: waiting for data, forward, backward, the optimizer, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import DATA_RANGE, Columns, Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.nesting import named, nearest, outer, running
from jupyter_optim.profiling.training.memory import TrainingPeak, most_held, training_peak
from jupyter_optim.profiling.training.parts import PhaseParts
from jupyter_optim.report import Phase, PhaseName, Training

_STEP = "Optimizer.step#"
_ZERO = "Optimizer.zero_grad#"
"""What torch itself calls its ranges around these."""

_WHOLE_STEPS = 3

_NAMES: tuple[PhaseName, ...] = ("data", "forward", "backward", "optimizer", "other")
_DATA_PHASE, _FORWARD, _BACKWARD, _OPTIMIZER, _OTHER = range(len(_NAMES))


def training_of(
    columns: Columns, labels: Labels | None = None, model: nn.Module | None = None
) -> Training | None:
    """The phases of the training steps in a trace; None if nothing was trained in it.

    A phase that lies within another (a closure that the optimizer calls) is not counted with it, but what a
    checkpoint computes once more is the backward's. Of three steps or more, the first is left out of the times: it
    makes what the others find. The memory is that of all steps.

    Args:
        columns: the trace, from before the first step.
        labels: what its modules and lines are called; None: nothing is said of them.
        model: what is trained, for the bytes of its weights.
    """
    causes = Causes.of(columns)
    steps = Steps.of(causes)
    if steps is None:
        return None
    spent, length = np.bincount(steps.phase[steps.rows], steps.own[steps.rows], len(_NAMES)), steps.length
    spent[_OTHER] = max(0.0, length - float(spent[:_OTHER].sum()))
    ops, held = steps.ops(), most_held(columns, steps.phase, steps.begins, _OTHER)
    found = tuple(
        Phase(
            name=name, ms=float(spent[i]) / steps.count / 1e6, share=float(spent[i]) / length,
            ops=None if i == _OTHER else int(ops[i]) / steps.count, peak_bytes=held[i] if i != _OTHER else None,
        )
        for i, name in enumerate(_NAMES)
    )  # fmt: skip
    parts = PhaseParts(causes, steps.own, steps.count, labels or Labels(()))
    found = tuple(
        replace(phase, **parts.of(steps.phase == i, float(spent[i]))) for i, phase in enumerate(found)
    )
    missing = _missing(columns)
    found = tuple(phase for phase in found if phase.name not in missing)
    peak = training_peak(causes, steps.end, labels or Labels(()), model)
    return Training(
        steps=steps.count, step_ms=length / steps.count / 1e6, phases=found,
        method=_method(columns, steps, peak), reason=_reason(steps, missing, peak, labels),
        peak_bytes=None if peak is None else peak.bytes, at_peak=() if peak is None else peak.kinds,
    )  # fmt: skip


def _missing(columns: Columns) -> dict[PhaseName, str]:
    """Phases of which the trace has no sign, and which are in the rest then, and why."""
    found: dict[PhaseName, str] = {}
    if not named(columns, DATA_RANGE).any():
        found["data"] = "no `DataLoader` was seen: getting the data is in the rest"
    if not (columns.kind == Kind.MODULE).any():
        found["forward"] = "the trace has no modules: the forward is in the rest"
    return found


def _method(columns: Columns, steps: Steps, peak: TrainingPeak | None) -> str:
    words = f"torch's own ranges in a trace of {steps.count} steps, the profiler's work included"
    if (columns.kind == Kind.DEVICE).any():
        words += "; times are the host's, which launches the accelerator's work and waits for it"
    if peak is not None:
        words += "; memory is what was allocated since the recording began"
        words += "" if peak.bytes is None else ", and the weights"
    return words


def _reason(
    steps: Steps, missing: Mapping[PhaseName, str], peak: TrainingPeak | None, labels: Labels | None
) -> str | None:
    """What is not known of the steps, and why."""
    words, columns = list(missing.values()), steps.columns
    lined = (columns.kind == Kind.LINE) & (columns.start >= steps.begin)
    if labels is not None and labels.lines and not lined.any():
        words.append("no line was traced in these steps: that ends after the first second of a cell")
    if peak is None:
        words.append("the trace has no allocations")
    return "; ".join(words) or None


@dataclass(frozen=True, slots=True)
class Steps:
    """Which rows of a trace are in which phase of its whole steps.

    Attributes:
        columns: the trace.
        count: how many steps.
        begin: when the first one that counts begins, ns.
        end: when the last one ends.
        phase: by row, the number of the innermost phase around it; the rest of the steps has a number, too; -1 for
            what is in none of the steps.
        begins: by row, the same for rows that are a phase's own range, else -1.
        own: by row, nanoseconds by itself, less what it waited for another thread's phase.
    """

    columns: Columns
    count: int
    begin: int
    end: int
    phase: Ints
    begins: Ints
    own: Ints

    @classmethod
    def of(cls, causes: Causes) -> Steps | None:
        """The steps of a trace, or None if nothing was trained in it."""
        columns = causes.columns
        begins = _beginnings(causes)
        steps = _outermost_steps(columns, begins)
        if len(steps) == 0 or not (begins == _BACKWARD).any():
            return None
        ends = columns.start + columns.duration
        done = np.sort(ends[steps])
        whole = len(done) >= _WHOLE_STEPS
        begin, end = int(done[0] if whole else columns.start.min()), int(done[-1])
        within = (columns.start >= begin) & (ends <= end)
        begins = np.where(within, begins, -1)
        around = nearest(columns, begins >= 0)
        phase = np.where(around >= 0, begins[around], -1)
        thread = int(columns.thread[steps[0]])
        phase[(around < 0) & within & (columns.thread == thread)] = _OTHER
        own = np.where(columns.kind == Kind.RUNTIME, 0, columns.exclusive())
        _leave_to_others(columns, begins, thread, own)
        return cls(columns, len(done) - 1 if whole else len(done), begin, end, phase, begins, own)

    @property
    def length(self) -> float:
        """Nanoseconds of all steps."""
        return float(self.end - self.begin)

    @property
    def rows(self) -> Ints:
        """All rows of the steps."""
        return np.flatnonzero(self.phase >= 0)

    def ops(self) -> NDArray[np.int64]:
        """By phase, the ops that it calls: those that others call do their work, and count."""
        inner = outer(self.columns, nearest(self.columns, self.begins >= 0)) >= 0
        counts = inner & (self.begins < 0) & (self.columns.kind == Kind.OP)
        return np.bincount(self.phase[counts], minlength=len(_NAMES)).astype(np.int64)


def _beginnings(causes: Causes) -> Ints:
    """For each row that is a phase's own range, the phase's number; else -1."""
    columns = causes.columns
    begins = np.full(len(columns), -1, np.int64)
    begins[causes.node == np.arange(len(columns))] = _BACKWARD
    begins[named(columns, _STEP, _ZERO)] = _OPTIMIZER
    data = named(columns, DATA_RANGE)
    begins[data] = _DATA_PHASE
    # a module that prepares data, and one whose forward a checkpoint repeats, are of those phases
    free = (causes.node < 0) & (nearest(columns, data) < 0)
    begins[(columns.kind == Kind.MODULE) & (columns.around(Kind.MODULE) < 0) & free] = _FORWARD
    begins[columns.kind == Kind.DEVICE] = -1
    return begins


def _outermost_steps(columns: Columns, begins: Ints) -> Ints:
    """Rows of the optimizers' steps, without those that a step calls itself."""
    inner = outer(columns, nearest(columns, begins == _OPTIMIZER)) >= 0
    return np.flatnonzero(named(columns, _STEP) & (begins == _OPTIMIZER) & ~inner)


def _leave_to_others(columns: Columns, begins: Ints, thread: int, own: Ints) -> None:
    """Take from `own` what `thread` only waited: the backward pass of an accelerator has a thread of its own."""
    away = (begins >= 0) & (columns.thread != thread)
    away &= outer(columns, nearest(columns, away)) < 0
    rows = np.flatnonzero(away)
    if len(rows) == 0:
        return
    waits = running(columns, columns.start[rows], np.full(len(rows), thread))
    known = (waits >= 0) & (begins[waits] < 0)
    np.subtract.at(own, waits[known], columns.duration[rows[known]])
    np.maximum(own, 0, out=own)
