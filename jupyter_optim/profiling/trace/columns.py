"""A profiler's trace as numpy columns, and which event lies within which."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.ops.flops import OpSignature

MODULE_RANGE = "jo:module:"
LINE_RANGE = "jo:line:"
FOREIGN_MODULE = "nn.Module: "
"""What PyTorch's profiler calls a module's call, given ``with_stack``."""
DATA_RANGE = "enumerate(DataLoader)#"
"""What PyTorch calls its range around fetching a batch."""

Ints = NDArray[np.int64]


class Kind(IntEnum):
    """What an event is."""

    OP = 0
    MODULE = 1
    LINE = 2
    NOTE = 3
    DEVICE = 4
    """Work on an accelerator: kernels, copies, fills."""
    RUNTIME = 5
    """A call of the accelerator's driver by the host: to launch work, or to wait for it."""
    UNNAMED = 6
    """A module's call that is not to be told of."""


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """Allocations (positive `bytes`) and releases (negative) of one kind of memory, in order of time."""

    at: Ints
    bytes: Ints
    address: Ints
    thread: Ints
    """Numbers as in `Columns.thread`; -1 for one that ran no op."""
    device: str
    """``cpu`` or ``cuda``."""

    def __len__(self) -> int:
        return len(self.at)

    def risen(self, start: Ints, duration: Ints) -> Ints:
        """For each interval, the most that was held in it, above what was held as it began."""
        held = np.cumsum(self.bytes)
        low, high = np.searchsorted(self.at, start), np.searchsorted(self.at, start + duration, side="right")
        peaks = np.zeros(len(start), np.int64)
        some = np.flatnonzero(high > low)
        # of each pair of bounds, the most between them; what lies between two pairs is left out
        bounds = np.column_stack((low[some], high[some])).ravel()
        most = np.maximum.reduceat(np.append(held, 0), bounds)[::2] if len(some) else held[:0]
        peaks[some] = most - np.append(0, held)[low[some]]
        return peaks


@dataclass(frozen=True, slots=True)
class DeviceEvents:
    """What the rows of kind `Kind.DEVICE` have besides, in the order of those rows.

    Figures that the trace does not give are NaN, numbers that it does not give are -1.
    """

    row: Ints
    """Row in the columns."""
    launch: Ints
    """Row of the driver's call that launched it."""
    device: Ints
    stream: Ints
    bytes: Ints
    """Bytes copied or filled."""
    occupancy: NDArray[np.float64]
    """Part of the threads that a multiprocessor could hold, estimated by CUPTI from the launch; of 1."""
    blocks_per_sm: NDArray[np.float64]
    registers: Ints
    """Per thread."""

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Columns:
    """Events as columns, in order of thread, start, and length (outer before inner).

    Times are nanoseconds since the earliest event. `parent` is the row of the innermost event around each one
    in its thread, or -1; `depth` counts the events around it.
    """

    names: tuple[str, ...]
    name: Ints
    kind: Ints
    code: Ints
    """For modules and lines: the number in the range's name; else -1."""
    start: Ints
    duration: Ints
    thread: Ints
    external: Ints
    sequence: Ints
    """The number of the autograd node that an op made, or that it is the backward of; else -1."""
    backward: NDArray[np.bool_]
    """Whether `sequence` is that of a forward op elsewhere."""
    parent: Ints
    depth: Ints
    signature: Ints
    """Number of the op's signature in `signatures`, or -1 where no shapes were recorded."""
    signatures: tuple[OpSignature, ...]
    memory: MemoryEvents
    """Of the accelerator if its memory was used, else of the host."""
    work: DeviceEvents
    """What an accelerator did."""

    def __len__(self) -> int:
        return len(self.name)

    def exclusive(self) -> Ints:
        """Duration of each event less that of the events directly within it; calls of a driver are their op's."""
        inside = (self.parent >= 0) & (self.kind != Kind.RUNTIME)
        inner = np.bincount(self.parent[inside], self.duration[inside], len(self))
        return self.duration - inner.astype(np.int64)

    def around(self, kind: Kind) -> Ints:
        """For each row, the row of the nearest event of `kind` around it, itself not counted, or -1."""
        found = self.innermost(kind)
        return np.where(self.parent >= 0, found[np.maximum(self.parent, 0)], -1)

    def within(self, rows: Ints) -> NDArray[np.bool_]:
        """For each row, whether it is one of `rows` or lies within one."""
        inside = np.zeros(len(self), np.bool_)
        inside[rows] = True
        for level in levels_of(self.depth)[1:]:
            inside[level] |= inside[self.parent[level]] & (self.parent[level] >= 0)
        return inside

    def innermost(self, kind: Kind) -> Ints:
        """For each row, the row of the nearest event of `kind` at or around it, or -1."""
        found = np.where(self.kind == kind, np.arange(len(self)), -1)
        for level in levels_of(self.depth)[1:]:
            missing = level[found[level] < 0]
            found[missing] = found[self.parent[missing]]
        return found


def nesting(start: Ints, duration: Ints, thread: Ints) -> tuple[Ints, Ints]:
    """Depth and parent of each event, for events in order of thread, start, and falling duration.

    An event's depth is the number of earlier ones that have not ended when it starts; its parent is the last
    one before it that is one less deep. All events of a level are done at once.
    """
    count = len(start)
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Threads are laid one after another on one time axis. Times are doubled so that an end can lie between
    # two instants: what starts at the nanosecond in which its neighbour ends is not within it.
    span = 2 * (int((start + duration).max()) + 2)
    begin = 2 * start + thread * span
    end = np.maximum(begin, begin + 2 * duration - 1)
    depth = np.arange(count) - np.searchsorted(np.sort(end), begin, side="left")
    depth = np.maximum(depth, 0)
    parent = np.full(count, -1, np.int64)
    levels = levels_of(depth)
    for outer, inner in itertools.pairwise(levels):
        at = np.searchsorted(outer, inner) - 1
        parent[inner[at >= 0]] = outer[at[at >= 0]]
    return depth, parent


def levels_of(depth: Ints) -> list[Ints]:
    """The rows of each depth, in order."""
    if len(depth) == 0:
        return []
    # numpy sorts small numbers in a tenth of the time
    order = np.argsort(depth.astype(np.min_scalar_type(depth.max())), kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(int(depth.max()) + 2))
    return [order[low:high] for low, high in itertools.pairwise(bounds)]
