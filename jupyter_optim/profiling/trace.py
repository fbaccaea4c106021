"""Read a profiler's Chrome trace into numpy columns, and find which event lies within which.

One reader serves the live profile and trace files. The typed decode and the columns are what makes it an
order of magnitude faster than `key_averages()`, which builds a Python object for each event
(pytorch#122905 complains of it).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from jupyter_optim.errors import InvalidReport
from jupyter_optim.profiling.flops import OpSignature
from jupyter_optim.profiling.trace_file import Event, decode

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
    return columns_of(decode(path).traceEvents)


def columns_of(events: list[Event]) -> Columns:
    """Columns of decoded events; kinds that no one asks for are left out."""
    kept = [
        each
        for each in events
        if each.ph == "X" and (each.cat in _CATEGORIES or each.name.startswith(FOREIGN_MODULE))
    ]
    table: dict[str, int] = {}
    threads: dict[_Thread, int] = {}
    count = len(kept)
    name = np.fromiter((table.setdefault(e.name, len(table)) for e in kept), np.int64, count)
    thread = np.fromiter((threads.setdefault((e.pid, e.tid), len(threads)) for e in kept), np.int64, count)
    kind = np.fromiter((_CATEGORIES.get(e.cat, Kind.MODULE) for e in kept), np.int64, count)
    external = np.fromiter((-1 if e.args is None else e.args.external_id for e in kept), np.int64, count)
    sequence = np.fromiter((-1 if e.args is None else e.args.sequence for e in kept), np.int64, count)
    backward = np.fromiter((e.args is not None and e.args.forward_thread > 0 for e in kept), np.bool_, count)
    stamps = np.fromiter((e.ts for e in kept), np.float64, count)
    origin = stamps.min() if count else 0.0
    lengths = np.fromiter((e.dur for e in kept), np.float64, count)
    if count and not (stamps.max() - origin + lengths.max() < _LONGEST_US and lengths.min() >= 0):
        raise InvalidReport("This trace has times that cannot be: negative, or years apart.")
    start = np.rint((stamps - origin) * 1e3).astype(np.int64)
    duration = np.rint(lengths * 1e3).astype(np.int64)
    names = tuple(table)
    kind, code = _ranges(names, name, kind)
    signature, signatures = _signatures(kept)

    order = np.lexsort((-duration, start, thread))
    start, duration, thread = start[order], duration[order], thread[order]
    depth, parent = nesting(start, duration, thread)
    return Columns(
        names=names, name=name[order], kind=kind[order], code=code[order], start=start, duration=duration,
        thread=thread, external=external[order], sequence=sequence[order], backward=backward[order], parent=parent, depth=depth,
        signature=signature[order], signatures=signatures, memory=_memory(events, origin, threads),
    )  # fmt: skip


def _signatures(events: list[Event]) -> tuple[Ints, tuple[OpSignature, ...]]:
    """Shapes are decoded once for each distinct text of them: a model repeats its layers."""
    numbers: dict[tuple[str, bytes, bytes, bytes], int] = {}
    found = np.full(len(events), -1, np.int64)
    for i, event in enumerate(events):
        args = event.args
        if args is not None and len(args.types):
            key = (event.name, bytes(args.shapes), bytes(args.types), bytes(args.concrete))
            found[i] = numbers.setdefault(key, len(numbers))
    decode = msgspec.json.decode
    return found, tuple(
        OpSignature.of(name, *(decode(text) if text else [] for text in texts)) for name, *texts in numbers
    )


_CUDA = 1
"""`c10::DeviceType` of CUDA devices; the host is 0."""


def _memory(events: list[Event], origin: float, threads: dict[_Thread, int]) -> MemoryEvents:
    found = [(e, e.args) for e in events if e.name == "[memory]" and e.args is not None]
    kind = _CUDA if any(args.device_type == _CUDA for _, args in found) else 0
    found = [(e, args) for e, args in found if args.device_type == kind]
    count = len(found)
    at = np.rint((np.fromiter((e.ts for e, _ in found), np.float64, count) - origin) * 1e3).astype(np.int64)
    order = np.argsort(at, kind="stable")
    return MemoryEvents(
        at=at[order], bytes=np.fromiter((args.bytes for _, args in found), np.int64, count)[order],
        address=np.fromiter((args.address for _, args in found), np.uint64, count).astype(np.int64)[order],
        thread=np.fromiter((threads.get((e.pid, e.tid), -1) for e, _ in found), np.int64, count)[order],
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
