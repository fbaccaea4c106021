"""Read a profiler's Chrome trace into numpy columns, and find which event lies within which.

One reader serves the live profile and trace files. The typed decode and the columns are what makes it an
order of magnitude faster than `key_averages()`, which builds a Python object for each event
(pytorch#122905 complains of it).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from jupyter_optim.errors import InvalidReport
from jupyter_optim.profiling.flops import OpSignature
from jupyter_optim.profiling.trace_file import Event, TraceFile

MODULE_RANGE = "jo:module:"
LINE_RANGE = "jo:line:"
FOREIGN_MODULE = "nn.Module: "
"""What PyTorch's profiler calls a module's call, given ``with_stack``."""

_DIGITS = 9
_LONGEST_US = 1e13
_Thread = tuple[int | str, int | str]
"""Process and thread, as the trace names them."""

Ints = NDArray[np.int64]


class Kind(IntEnum):
    """What an event is."""

    OP = 0
    MODULE = 1
    LINE = 2
    NOTE = 3
    DEVICE = 4
    """Work on an accelerator: kernels, copies, fills."""


_CATEGORIES = {
    "cpu_op": Kind.OP,
    "user_annotation": Kind.NOTE,
    "kernel": Kind.DEVICE,
    "gpu_memcpy": Kind.DEVICE,
    "gpu_memset": Kind.DEVICE,
}


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
        for i in np.flatnonzero(high > low):
            before = int(held[low[i] - 1]) if low[i] else 0
            peaks[i] = int(held[low[i] : high[i]].max()) - before
        return peaks


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

    def __len__(self) -> int:
        return len(self.name)

    def exclusive(self) -> Ints:
        """Duration of each event less that of the events directly within it."""
        inner = np.bincount(self.parent[self.parent >= 0], self.duration[self.parent >= 0], len(self))
        return self.duration - inner.astype(np.int64)

    def around(self, kind: Kind) -> Ints:
        """For each row, the row of the nearest event of `kind` around it, itself not counted, or -1."""
        found = self.innermost(kind)
        return np.where(self.parent >= 0, found[np.maximum(self.parent, 0)], -1)

    def within(self, rows: Ints) -> NDArray[np.bool_]:
        """For each row, whether it is one of `rows` or lies within one."""
        inside = np.zeros(len(self), np.bool_)
        inside[rows] = True
        for level in _levels(self.depth)[1:]:
            inside[level] |= inside[self.parent[level]] & (self.parent[level] >= 0)
        return inside

    def innermost(self, kind: Kind) -> Ints:
        """For each row, the row of the nearest event of `kind` at or around it, or -1."""
        found = np.where(self.kind == kind, np.arange(len(self)), -1)
        for level in _levels(self.depth)[1:]:
            missing = level[found[level] < 0]
            found[missing] = found[self.parent[missing]]
        return found


def read(path: Path) -> Columns:
    """Read the Chrome trace at `path`, compressed or not.

    Raises:
        InvalidReport: it cannot be read, or is no trace of PyTorch's profiler.
    """
    return columns_of(TraceFile(path).batches())


def columns_of(batches: Iterable[list[Event]]) -> Columns:
    """Columns of decoded events; kinds that no one asks for are left out."""
    events, memory = _Table(), _MemoryTable()
    for batch in batches:
        events.add(batch)
        memory.add(batch, events.threads)
    stamps, lengths = events.column("ts"), events.column("dur")
    origin = float(stamps.min()) if len(stamps) else 0.0
    if len(stamps) and not (stamps.max() - origin + lengths.max() < _LONGEST_US and lengths.min() >= 0):
        raise InvalidReport("This trace has times that cannot be: negative, or years apart.")
    start = np.rint((stamps - origin) * 1e3).astype(np.int64)
    duration = np.rint(lengths * 1e3).astype(np.int64)
    names, name, thread = tuple(events.names), events.column("name"), events.column("thread")
    kind, code = _ranges(names, name, events.column("kind"))

    order = np.lexsort((-duration, start, thread))
    start, duration, thread = start[order], duration[order], thread[order]
    depth, parent = nesting(start, duration, thread)
    return Columns(
        names=names, name=name[order], kind=kind[order], code=code[order], start=start, duration=duration,
        thread=thread, external=events.column("external")[order], sequence=events.column("sequence")[order],
        backward=events.column("backward")[order], parent=parent, depth=depth,
        signature=events.column("signature")[order], signatures=events.signatures(), memory=memory.events(origin),
    )  # fmt: skip


class _Table:
    """Events as columns, from one batch after another."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.threads: dict[_Thread, int] = {}
        self._numbers: dict[tuple[str, bytes, bytes, bytes], int] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _DTYPES}

    def add(self, batch: list[Event]) -> None:
        """Take in what is asked for of a batch."""
        kept = [
            each
            for each in batch
            if each.ph == "X" and (each.cat in _CATEGORIES or each.name.startswith(FOREIGN_MODULE))
        ]
        names, threads = self.names, self.threads
        values: dict[str, Iterable[Any]] = {
            "name": (names.setdefault(e.name, len(names)) for e in kept),
            "thread": (threads.setdefault((e.pid, e.tid), len(threads)) for e in kept),
            "kind": (_CATEGORIES.get(e.cat, Kind.MODULE) for e in kept),
            "external": (-1 if e.args is None else e.args.external_id for e in kept),
            "sequence": (-1 if e.args is None else e.args.sequence for e in kept),
            "backward": (e.args is not None and e.args.forward_thread > 0 for e in kept),
            "ts": (e.ts for e in kept),
            "dur": (e.dur for e in kept),
            "signature": map(self._signature, kept),
        }
        for name, dtype in _DTYPES.items():
            self._parts[name].append(np.fromiter(values[name], dtype, len(kept)))

    def column(self, name: str) -> NDArray[Any]:
        """All values of a column, in the order of the file."""
        return np.concatenate(self._parts[name]) if self._parts[name] else np.zeros(0, _DTYPES[name])

    def signatures(self) -> tuple[OpSignature, ...]:
        """Shapes, decoded once for each distinct text of them: a model repeats its layers."""
        decode = msgspec.json.decode
        return tuple(
            OpSignature.of(name, *(decode(text) if text else [] for text in texts))
            for name, *texts in self._numbers
        )

    def _signature(self, event: Event) -> int:
        args = event.args
        if args is None or not len(args.types):
            return -1
        key = (event.name, bytes(args.shapes), bytes(args.types), bytes(args.concrete))
        return self._numbers.setdefault(key, len(self._numbers))


_DTYPES: dict[str, type] = {
    "name": np.int64, "thread": np.int64, "kind": np.int64, "external": np.int64, "sequence": np.int64,
    "backward": np.bool_, "ts": np.float64, "dur": np.float64, "signature": np.int64,
}  # fmt: skip


_CUDA = 1
"""`c10::DeviceType` of CUDA devices; the host is 0."""


class _MemoryTable:
    """Allocations and releases, from one batch after another."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, int, int, int]] = []

    def add(self, batch: list[Event], threads: dict[_Thread, int]) -> None:
        """Take in those of a batch."""
        for event in batch:
            args = event.args
            if event.name == "[memory]" and args is not None:
                thread = threads.get((event.pid, event.tid), -1)
                # addresses are unsigned, and may not fit otherwise
                address = args.address - 2**64 if args.address >= 2**63 else args.address
                self._rows.append((event.ts, args.bytes, address, thread, args.device_type))

    def events(self, origin: float) -> MemoryEvents:
        """Those of the accelerator if there are any, else of the host."""
        kind = _CUDA if any(row[4] == _CUDA for row in self._rows) else 0
        rows = sorted((row for row in self._rows if row[4] == kind), key=lambda row: row[0])
        at = np.array([row[0] for row in rows], np.float64)
        columns = [np.array([row[i] for row in rows], np.int64) for i in (1, 2, 3)]
        return MemoryEvents(
            at=np.rint((at - origin) * 1e3).astype(np.int64), bytes=columns[0], address=columns[1], thread=columns[2],
            device="cuda" if kind == _CUDA else "cpu",
        )  # fmt: skip


def _ranges(names: tuple[str, ...], name: Ints, kind: Ints) -> tuple[Ints, Ints]:
    """Kinds and numbers, with our own ranges told apart by their names."""
    kinds = np.full(len(names), -1, np.int64)
    codes = np.full(len(names), -1, np.int64)
    for index, text in enumerate(names):
        for prefix, own in ((MODULE_RANGE, Kind.MODULE), (LINE_RANGE, Kind.LINE)):
            number = text.removeprefix(prefix)
            if number != text and number.isdigit() and len(number) < _DIGITS:
                kinds[index], codes[index] = own, int(number)
        if text.startswith(FOREIGN_MODULE):
            kinds[index], codes[index] = Kind.MODULE, index
    if not len(names):
        return kind, codes
    return np.where(kinds[name] >= 0, kinds[name], kind), codes[name]


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
    levels = _levels(depth)
    for outer, inner in itertools.pairwise(levels):
        at = np.searchsorted(outer, inner) - 1
        parent[inner[at >= 0]] = outer[at[at >= 0]]
    return depth, parent


def _levels(depth: Ints) -> list[Ints]:
    """The rows of each depth, in order."""
    if len(depth) == 0:
        return []
    order = np.argsort(depth, kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(int(depth.max()) + 2))
    return [order[low:high] for low, high in itertools.pairwise(bounds)]
