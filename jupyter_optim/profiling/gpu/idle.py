"""When an accelerator had nothing to do, and what kept it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.gpu.device_work import waits
from jupyter_optim.profiling.trace.columns import DATA_RANGE, Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import named
from jupyter_optim.report import IdleReason

_MOSTLY = 0.5
_CLOSE = 0.05
"""Steps whose distance is less than this part of their length follow each other."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Stretches in which no stream worked, in order of time.

    Attributes:
        start: when it began, ns.
        length: how long it was, ns.
        next: position in `Columns.work` of what ended it; -1 for the last.
        reason: what kept it.
    """

    start: Ints
    length: Ints
    next: Ints
    reason: tuple[IdleReason, ...]


def busy(start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Stretches in which at least one of some intervals ran: their starts, their ends, and who came first in each."""
    if len(start) == 0:
        return start, end, start
    order = np.argsort(start, kind="stable")
    reach = np.maximum.accumulate(end[order])
    first = np.append(True, start[order][1:] > reach[:-1])
    begins = np.flatnonzero(first)
    return start[order][begins], reach[np.append(begins[1:] - 1, len(order) - 1)], order[begins]


def gaps(columns: Columns, work: Ints, windows: Windows) -> Gaps:
    """Where none of some work ran within some windows.

    Args:
        columns: the trace.
        work: positions in `Columns.work`, all of one device.
        windows: where to look.
    """
    rows = columns.work.row[work]
    starts, ends, firsts = busy(columns.start[rows], columns.start[rows] + columns.duration[rows])
    gap_start, gap_end = np.append(0, ends), np.append(starts, np.iinfo(np.int64).max)
    following = np.append(work[firsts], -1)
    low = np.searchsorted(gap_end, windows.begin, side="right")
    high = np.searchsorted(gap_start, windows.end)
    at = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]).astype(np.int64)
    window = np.repeat(np.arange(len(low)), np.maximum(high - low, 0))
    start = np.maximum(gap_start[at], windows.begin[window])
    end = np.minimum(gap_end[at], windows.end[window])
    # work that begins after the window ends no gap of it
    following = np.where(gap_end[at] < windows.end[window], following[at], -1)
    kept = end > start
    found = start[kept], (end - start)[kept], following[kept]
    return Gaps(*found, _reasons(columns, *found, first=(start == windows.begin[window])[kept]))


@dataclass(frozen=True, slots=True)
class Windows:
    """Stretches of time, in order, that do not overlap; ns."""

    begin: Ints
    end: Ints

    @classmethod
    def of(cls, begin: Ints, end: Ints, *, steps: bool) -> Windows:
        """Those of some calls; between two steps that follow each other closely is nothing but theirs."""
        slack = int(_CLOSE * float(np.median(end - begin))) if steps else 0
        begin, end, _ = busy(begin, end + slack)
        return cls(begin, end - slack)

    @property
    def length(self) -> int:
        """Of all of them together."""
        return int((self.end - self.begin).sum())


def _reasons(
    columns: Columns, start: Ints, length: Ints, following: Ints, *, first: NDArray[np.bool_]
) -> tuple[IdleReason, ...]:
    launch = np.where(following >= 0, columns.work.launch[np.maximum(following, 0)], -1)
    launched = columns.start[np.maximum(launch, 0)]
    waited = _host_waited(columns, start)
    loading = _loading(columns, start, np.maximum(start, launched)) >= _MOSTLY * length
    found: list[IdleReason] = []
    for i in range(len(start)):
        reason: IdleReason = "launch"
        if following[i] < 0:
            reason = "after the last"
        elif launch[i] < 0:
            reason = "unknown"
        elif loading[i]:
            reason = "data loading"
        elif first[i]:
            reason = "before the first"
        elif launched[i] < start[i]:
            reason = "between kernels"
        elif waited[i]:
            reason = "synchronisation"
        found.append(reason)
    return tuple(found)


def _host_waited(columns: Columns, instants: Ints) -> NDArray[np.bool_]:
    """Whether the host stood in a call that waits for the accelerator, at each instant."""
    rows = waits(columns)
    starts, ends, _ = busy(columns.start[rows], columns.start[rows] + columns.duration[rows])
    return _covered(starts, ends, instants)


def _covered(starts: Ints, ends: Ints, instants: Ints) -> NDArray[np.bool_]:
    at = np.searchsorted(starts, instants, side="right") - 1
    found: NDArray[np.bool_] = (at >= 0) & (np.append(ends, 0)[at] >= instants)
    return found


def _loading(columns: Columns, low: Ints, high: Ints) -> Ints:
    """For each interval, how much of it the host spent fetching batches, ns."""
    rows = np.flatnonzero(named(columns, DATA_RANGE) & (columns.kind != Kind.DEVICE))
    starts, ends, _ = busy(columns.start[rows], columns.start[rows] + columns.duration[rows])
    whole = np.append(0, np.cumsum(ends - starts))

    def until(instants: Ints) -> Ints:
        at = np.searchsorted(starts, instants, side="right") - 1
        inside = np.minimum(instants, np.append(ends, 0)[at]) - np.append(starts, 0)[at]
        return np.where(at >= 0, whole[np.maximum(at, 0)] + inside, 0)

    return until(high) - until(low)
