"""The phases of a training step: waiting for data, forward, backward, the optimizer, and the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.trace import Columns, Kind
from jupyter_optim.report import Phase, PhaseName, Training

_NODE = "autograd::engine::evaluate_function: "
_STEP = "Optimizer.step#"
_ZERO = "Optimizer.zero_grad#"
_DATA = "enumerate(DataLoader)#"
"""What torch itself calls its ranges around these."""

_WHOLE_STEPS = 3

_NAMES: tuple[PhaseName, ...] = ("data", "forward", "backward", "optimizer")


def training_of(columns: Columns) -> Training | None:
    """The phases of the training steps in a trace; None if nothing was trained in it.

    A phase that lies within another (a closure that the optimizer calls) is not counted with it. Of three steps or
    more, the first is left out: it makes what the others find.
    """
    phase = _phase_of_rows(columns)
    ends = columns.start + columns.duration
    done = np.sort(ends[_named(columns, _STEP) & (phase >= 0) & ~_within_its_like(columns, phase)])
    if len(done) == 0 or not (phase == _NAMES.index("backward")).any():
        return None
    begin = int(done[0]) if len(done) >= _WHOLE_STEPS else int(columns.start.min())
    steps = len(done) - 1 if len(done) >= _WHOLE_STEPS else len(done)
    total_ns = float(done[-1] - begin)
    phase[(columns.start < begin) | (ends > done[-1])] = -1
    rows = np.flatnonzero(phase >= 0)
    outer = _nearest(columns, phase)
    own = columns.duration[rows].astype(np.float64)
    place = np.full(len(columns), -1, np.int64)
    place[rows] = np.arange(len(rows))
    inner = rows[outer[rows] >= 0]
    np.subtract.at(own, place[outer[inner]], columns.duration[inner])
    spent = np.bincount(phase[rows], own, len(_NAMES))
    is_op = (columns.kind == Kind.OP) & (outer >= 0) & (phase < 0)
    # ops that others call do their work
    ops = np.bincount(phase[outer[is_op]], minlength=len(_NAMES))
    found = [
        Phase(
            name=name,
            ms=float(spent[i]) / steps / 1e6,
            share=float(spent[i]) / total_ns,
            ops=int(ops[i]) / steps,
        )
        for i, name in enumerate(_NAMES)
    ]
    rest = max(0.0, total_ns - float(spent.sum()))
    found.append(Phase(name="other", ms=rest / steps / 1e6, share=rest / total_ns, ops=None))
    return Training(
        steps=steps, step_ms=total_ns / steps / 1e6, phases=tuple(found),
        method=f"torch's own ranges in a trace of {steps} steps, the profiler's work included",
    )  # fmt: skip


def _phase_of_rows(columns: Columns) -> NDArray[np.int64]:
    """For each row that begins a phase, the phase's number; else -1."""
    phase = np.full(len(columns), -1, np.int64)
    outermost = (columns.kind == Kind.MODULE) & (columns.around(Kind.MODULE) < 0)
    phase[outermost] = _NAMES.index("forward")
    node = _named(columns, _NODE)
    phase[node] = _NAMES.index("backward")
    phase[_named(columns, _STEP) | _named(columns, _ZERO)] = _NAMES.index("optimizer")
    phase[_named(columns, _DATA)] = _NAMES.index("data")
    phase[columns.kind == Kind.DEVICE] = -1
    return phase


def _named(columns: Columns, prefix: str) -> NDArray[np.bool_]:
    starts = np.array([name.startswith(prefix) for name in columns.names], np.bool_)
    found: NDArray[np.bool_] = starts[columns.name]
    return found


def _nearest(columns: Columns, phase: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, the row of the phase around it, itself not counted, or -1."""
    found = np.full(len(columns), -1, np.int64)
    for depth in range(1, int(columns.depth.max(initial=0)) + 1):
        level = np.flatnonzero((columns.depth == depth) & (columns.parent >= 0))
        outer = columns.parent[level]
        found[level] = np.where(phase[outer] >= 0, outer, found[outer])
    return found


def _within_its_like(columns: Columns, phase: NDArray[np.int64]) -> NDArray[np.bool_]:
    outer = _nearest(columns, phase)
    same: NDArray[np.bool_] = (outer >= 0) & (phase[np.maximum(outer, 0)] == phase)
    return same
