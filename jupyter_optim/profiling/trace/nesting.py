"""Which event of a trace lies within which, and which one is running at an instant."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.trace.columns import Columns, Ints, levels_of

_N = TypeVar("_N", np.int64, np.float64)


def named(columns: Columns, *prefixes: str) -> NDArray[np.bool_]:
    """For each row, whether its name begins with one of `prefixes`."""
    if not columns.names:
        return np.zeros(len(columns), np.bool_)
    starts = np.array([name.startswith(prefixes) for name in columns.names], np.bool_)
    found: NDArray[np.bool_] = starts[columns.name]
    return found


def nearest(columns: Columns, wanted: NDArray[np.bool_]) -> Ints:
    """For each row, the row itself if it is `wanted`, else the innermost wanted one around it, or -1."""
    found = np.where(wanted, np.arange(len(columns)), -1)
    for level in levels_of(columns.depth):
        missing = level[(found[level] < 0) & (columns.parent[level] >= 0)]
        found[missing] = found[columns.parent[missing]]
    return found


def outer(columns: Columns, found: Ints) -> Ints:
    """For each row, what `found`, such as that of `nearest`, holds for the event around it; -1 if there is none."""
    return np.where(columns.parent >= 0, found[np.maximum(columns.parent, 0)], -1)


def with_inner(columns: Columns, values: NDArray[_N]) -> NDArray[_N]:
    """For each row, the sum of `values` of it and of all that lies within it."""
    total = values.copy()
    for level in reversed(levels_of(columns.depth)):
        inner = level[columns.parent[level] >= 0]
        np.add.at(total, columns.parent[inner], total[inner])
    return total


def running(columns: Columns, at: Ints, thread: Ints, skipped: NDArray[np.bool_] | None = None) -> Ints:
    """The innermost event around each instant of a thread, or -1.

    Args:
        columns: the trace.
        at: the instants, ns.
        thread: their threads, as in `Columns.thread`; -1 for one that is not known.
        skipped: rows that do not count.
    """
    if len(columns) == 0:
        return np.full(len(at), -1, np.int64)
    end = columns.start + columns.duration
    # threads are laid one after another on one axis of time
    span = int(max(end.max(), at.max(initial=0))) + 1
    row = np.searchsorted(columns.thread * span + columns.start, thread * span + at, side="right") - 1
    row[(row < 0) | (thread < 0) | (columns.thread[np.maximum(row, 0)] != thread)] = -1
    while True:
        past = end[row] < at
        if skipped is not None:
            past |= skipped[row]
        past &= row >= 0
        if not past.any():
            return row
        row[past] = columns.parent[row[past]]
