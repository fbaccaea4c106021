"""Which op launched which work of an accelerator."""

from __future__ import annotations

import numpy as np

from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind

_WAITS = ("Synchronize", "Memcpy")
_ENQUEUES_NS = 20_000
"""A copy that is only put into a queue takes no longer; one from or to pageable memory waits for its turn."""


def waits(columns: Columns) -> Ints:
    """Rows of the driver's calls in which the host waits for the accelerator."""
    synchronizes, copies = (
        np.array([part in name for name in columns.names], np.bool_)[columns.name] if columns.names
        else np.zeros(0, np.bool_)
        for part in _WAITS
    )  # fmt: skip
    waiting = synchronizes | (copies & (columns.duration > _ENQUEUES_NS))
    return np.flatnonzero(waiting & (columns.kind == Kind.RUNTIME))


def launchers(columns: Columns) -> Ints:
    """For each piece of the accelerator's work, in the order of `Columns.work`, the row of the op that launched it.

    That is the innermost op around the driver's call with the same correlation id. A trace without the driver's calls
    tells it by the id that ops and kernels share. -1: no op did, or the trace does not tell.
    """
    work = columns.work
    inner = columns.innermost(Kind.OP)
    found = np.where(work.launch >= 0, inner[np.maximum(work.launch, 0)], -1)
    missing = np.flatnonzero(found < 0)
    ops = np.flatnonzero((columns.kind == Kind.OP) & (columns.external >= 0))
    if len(missing) == 0 or len(ops) == 0:
        return found
    order = ops[np.argsort(columns.external[ops], kind="stable")]
    wanted = columns.external[work.row[missing]]
    at = np.minimum(np.searchsorted(columns.external[order], wanted), len(order) - 1)
    matched = (columns.external[order[at]] == wanted) & (wanted >= 0)
    found[missing[matched]] = order[at[matched]]
    return found


def places(columns: Columns) -> Ints:
    """For each piece of the accelerator's work, the row on the host that it belongs to, or -1.

    The op that launched it, or else the driver's call: code that `torch.compile` made launches kernels in no op.
    """
    found = launchers(columns)
    return np.where(found >= 0, found, columns.work.launch)


def device_time(columns: Columns) -> Ints:
    """For each row of the host, the time of the accelerator's work that it launched itself, ns.

    Where several kernels run at once, each has its part of that time: so the rows add up to the time that passed.
    """
    spent = np.zeros(len(columns), np.int64)
    at = places(columns)
    np.add.at(spent, at[at >= 0], divided(columns)[at >= 0])
    return spent


def divided(columns: Columns) -> Ints:
    """For each piece of the accelerator's work its duration, ns, divided by how many ran at once, moment by moment."""
    rows = columns.work.row
    length = columns.duration[rows]
    times = np.concatenate([columns.start[rows], columns.start[rows] + length])
    order = np.argsort(times, kind="stable")
    running = np.cumsum(np.where(order < len(rows), 1, -1))
    if len(rows) == 0 or running.max() == 1:
        return length
    passed = np.diff(times[order], append=times[order[-1]])
    at_once = np.cumsum(np.where(running > 0, passed / np.maximum(running, 1), 0.0))
    until = np.empty(len(times))
    until[order] = np.concatenate([[0.0], at_once[:-1]])
    return np.rint(until[len(rows) :] - until[: len(rows)]).astype(np.int64)


def launches(columns: Columns) -> Ints:
    """For each row of the host, the pieces of the accelerator's work that it launched itself."""
    at = places(columns)
    return np.bincount(at[at >= 0], minlength=len(columns)).astype(np.int64)
