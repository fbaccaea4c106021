"""The rows of modules: what each took by itself, and with the modules that it calls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.ops.costs import Costs
from jupyter_optim.profiling.ops.op_table import Spent
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.nesting import outer
from jupyter_optim.report import ModuleRow


def module_rows(causes: Causes, spent: Spent, labels: Labels, work: Costs | None) -> tuple[ModuleRow, ...]:
    """A row for each module that was called, in the order of their numbers.

    A module's times and operations are those of its forward and of the backward pass that this made necessary, as far
    as `spent.inside` has it: one call of a model has no backward pass as a rule, a step of a training has.

    Args:
        causes: the trace, and what its rows belong to.
        spent: times of the rows.
        labels: what the modules are called.
        work: operations by row, if the trace has shapes.
    """
    columns, size = causes.columns, len(labels.modules)
    around = causes.innermost(Kind.MODULE)
    calls = columns.code[spent.inside & (columns.kind == Kind.MODULE)]
    count = np.bincount(calls, minlength=size)
    self_ns, total_ns = _sums(causes, around, np.where(spent.inside, spent.ns, 0), size)
    flops = None
    if work is not None:
        known = spent.inside & work.counted & ~np.isnan(work.flops)
        flops = _sums(causes, around, np.where(known, work.flops, 0.0), size)[1]
    return tuple(
        ModuleRow(
            path=label.path, class_name=label.class_name, calls=float(count[i]) / spent.calls,
            total_ms=spent.ms(total_ns[i]), self_ms=spent.ms(self_ns[i]), share=spent.share(self_ns[i]),
            params=label.params, bytes=label.bytes,
            flops=None if flops is None else round(float(flops[i]) / spent.calls),
        )
        for i, label in enumerate(labels.modules)
        if label is not None and (count[i] or total_ns[i])
    )  # fmt: skip


def _sums(
    causes: Causes, around: Ints, values: NDArray[np.int64] | NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By module: the sum of `values` of what belongs to it, and that with the modules that it calls."""
    columns = causes.columns
    rows = np.flatnonzero(around >= 0)
    by_call = np.bincount(around[rows], values[rows], len(columns)).astype(np.float64)
    at = np.flatnonzero(by_call)
    amount, callers = by_call[at], outer(columns, around)
    own = np.bincount(columns.code[at], amount, size).astype(np.float64)
    total = np.zeros(size)
    while len(at):
        total += np.bincount(columns.code[at], amount, size)
        at = callers[at]
        at, amount = at[at >= 0], amount[at >= 0]
    return own, total
