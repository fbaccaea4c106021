"""Read a profiler's Chrome trace into numpy columns.

One reader serves the live profile and trace files. The typed decode and the columns are what makes it an
order of magnitude faster than `key_averages()`, which builds a Python object for each event
(pytorch#122905 complains of it).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from jupyter_optim.errors import InvalidReport
from jupyter_optim.profiling.ops.flops import OpSignature
from jupyter_optim.profiling.trace.columns import (
    FOREIGN_MODULE,
    LINE_RANGE,
    MODULE_RANGE,
    Columns,
    DeviceEvents,
    Ints,
    Kind,
    MemoryEvents,
    nesting,
)
from jupyter_optim.profiling.trace.file import Args, Event, TraceFile

_DIGITS = 9
_LONGEST_US = 1e13
_Thread = tuple[int | str, int | str]
"""Process and thread, as the trace names them."""

_CATEGORIES = {
    "cpu_op": Kind.OP,
    "user_annotation": Kind.NOTE,
    "kernel": Kind.DEVICE,
    "gpu_memcpy": Kind.DEVICE,
    "gpu_memset": Kind.DEVICE,
    "cuda_runtime": Kind.RUNTIME,
    "cuda_driver": Kind.RUNTIME,
    # as PyTorch called them before 1.12
    "Operator": Kind.OP,
    "Kernel": Kind.DEVICE,
    "Memcpy": Kind.DEVICE,
    "Memset": Kind.DEVICE,
    "Runtime": Kind.RUNTIME,
}


def read(path: Path) -> Columns:
    """Read the Chrome trace at `path`, compressed or not.

    Raises:
        InvalidReport: it cannot be read, or is no trace of PyTorch's profiler.
    """
    return columns_of(TraceFile(path).batches())


def columns_of(batches: Iterable[list[Event]]) -> Columns:
    """Columns of decoded events; kinds that no one asks for are left out."""
    events, memory, work = _Table(), _MemoryTable(), _DeviceTable()
    for batch in batches:
        kept = [
            each
            for each in batch
            if each.ph == "X" and (each.cat in _CATEGORIES or each.name.startswith(FOREIGN_MODULE))
        ]
        work.add(kept, events.add(kept))
        memory.add(batch, events.threads)
    stamps, lengths = events.column("ts"), events.column("dur")
    origin = float(stamps.min()) if len(stamps) else 0.0
    if len(stamps) and not (stamps.max() - origin + lengths.max() < _LONGEST_US and lengths.min() >= 0):
        raise InvalidReport("This trace has times that cannot be: negative, or years apart.")
    start = np.rint((stamps - origin) * 1e3).astype(np.int64)
    duration = np.rint(lengths * 1e3).astype(np.int64)
    names, name, thread = tuple(events.names), events.column("name"), events.column("thread")
    kind, code = _ranges(names, name, events.column("kind"))

    order = _order(start, duration, thread)
    start, duration, thread = start[order], duration[order], thread[order]
    depth, parent = nesting(start, duration, thread)
    return Columns(
        names=names, name=name[order], kind=kind[order], code=code[order], start=start, duration=duration,
        thread=thread, external=events.column("external")[order], sequence=events.column("sequence")[order],
        backward=events.column("backward")[order], parent=parent, depth=depth,
        signature=events.column("signature")[order], signatures=events.signatures(), memory=memory.events(origin),
        work=work.events(order),
    )  # fmt: skip


def _order(start: Ints, duration: Ints, thread: Ints) -> Ints:
    """Rows in order of thread, start, and falling duration.

    A trace is nearly in order of thread and start, which makes a stable sort of that short; what begins in the same
    nanosecond is sorted after it.
    """
    begin = thread * (int(start.max(initial=0)) + 1) + start
    order = np.argsort(begin, kind="stable")
    same = np.flatnonzero(np.diff(begin[order]) == 0)
    tied = np.union1d(same, same + 1)
    rows = order[tied]
    order[tied] = rows[np.lexsort((-duration[rows], begin[rows]))]
    return order


_T = TypeVar("_T")


class _Numbers(dict[_T, int]):
    """A number for each thing that it is asked for: 0 for the first, 1 for the next new one, and so on."""

    def __missing__(self, key: _T) -> int:
        number = self[key] = len(self)
        return number


class _Table:
    """Events as columns, from one batch after another."""

    def __init__(self) -> None:
        self.names: _Numbers[str] = _Numbers()
        self.threads: _Numbers[_Thread] = _Numbers()
        self._numbers: _Numbers[tuple[str, bytes]] = _Numbers()
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _DTYPES}
        self._no_args = Args()

    def add(self, kept: list[Event]) -> Ints:
        """Take in those of a batch that are asked for, and return their kinds."""
        names, threads, numbers = self.names, self.threads, self._numbers
        args = [e.args or self._no_args for e in kept]
        values: dict[str, list[Any]] = {
            "name": [names[e.name] for e in kept],
            "thread": [threads[e.pid, e.tid] for e in kept],
            "kind": [_CATEGORIES.get(e.cat, Kind.MODULE) for e in kept],
            "external": [max(a.external_id, a.launcher) for a in args],
            "sequence": [a.sequence for a in args],
            "backward": [a.forward_thread > 0 for a in args],
            "ts": [e.ts for e in kept],
            "dur": [e.dur for e in kept],
            "signature": [
                numbers[e.name, _BETWEEN_TEXTS.join((a.shapes, a.types, a.concrete))] if len(a.types) else -1
                for e, a in zip(kept, args, strict=True)
            ],
        }
        for name, dtype in _DTYPES.items():
            self._parts[name].append(np.fromiter(values[name], dtype, len(kept)))
        return self._parts["kind"][-1]

    def column(self, name: str) -> NDArray[Any]:
        """All values of a column, in the order of the file."""
        return _joined(self._parts[name], _DTYPES[name])

    def signatures(self) -> tuple[OpSignature, ...]:
        """Shapes, decoded once for each distinct text of them: a model repeats its layers."""
        decode = msgspec.json.decode
        return tuple(
            OpSignature.of(name, *(decode(text) if text else [] for text in texts.split(_BETWEEN_TEXTS)))
            for name, texts in self._numbers
        )


_BETWEEN_TEXTS = b"\0"
"""No JSON holds it."""

_DTYPES: dict[str, type] = {
    "name": np.int64, "thread": np.int64, "kind": np.int64, "external": np.int64, "sequence": np.int64,
    "backward": np.bool_, "ts": np.float64, "dur": np.float64, "signature": np.int64,
}  # fmt: skip


class _DeviceTable:
    """Work on an accelerator, and the calls that launched it, from one batch after another."""

    def __init__(self) -> None:
        self._count = 0
        self._launches: list[tuple[int, int]] = []
        self._work: list[tuple[int, Args]] = []

    def add(self, kept: list[Event], kinds: Ints) -> None:
        """Take in those of a batch."""
        for i in np.flatnonzero((kinds == Kind.RUNTIME) | (kinds == Kind.DEVICE)).tolist():
            at, args = self._count + i, kept[i].args or Args()
            if kinds[i] == Kind.DEVICE:
                self._work.append((at, args))
            else:
                self._launches.append((at, args.correlation))
        self._count += len(kept)

    def events(self, order: Ints) -> DeviceEvents:
        """What was taken in, for events that are now in that order."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        launched = {correlation: int(place[at]) for at, correlation in self._launches if correlation >= 0}
        work = sorted(((int(place[at]), args) for at, args in self._work), key=lambda each: each[0])

        def column(values: Iterable[float], dtype: type) -> NDArray[Any]:
            return np.fromiter(values, dtype, len(work))

        return DeviceEvents(
            row=column((row for row, _ in work), np.int64),
            launch=column((launched.get(args.correlation, -1) for _, args in work), np.int64),
            device=column((args.device for _, args in work), np.int64),
            stream=column((args.stream for _, args in work), np.int64),
            bytes=column((args.copied for _, args in work), np.int64),
            occupancy=column((args.occupancy / 100 for _, args in work), np.float64),
            blocks_per_sm=column((args.blocks_per_sm for _, args in work), np.float64),
            registers=column((args.registers for _, args in work), np.int64),
        )


_CUDA = 1
"""`c10::DeviceType` of CUDA devices; the host is 0."""


class _MemoryTable:
    """Allocations and releases, from one batch after another."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _MEMORY_DTYPES}

    def add(self, batch: list[Event], threads: dict[_Thread, int]) -> None:
        """Take in those of a batch."""
        kept = [(e, e.args) for e in batch if e.name == "[memory]" and e.args is not None]
        values: dict[str, list[Any]] = {
            "at": [e.ts for e, _ in kept],
            "bytes": [a.bytes for _, a in kept],
            # addresses are unsigned, and may not fit otherwise
            "address": [a.address - 2**64 if a.address >= 2**63 else a.address for _, a in kept],
            "thread": [threads.get((e.pid, e.tid), -1) for e, _ in kept],
            "device": [a.device_type for _, a in kept],
        }
        for name, dtype in _MEMORY_DTYPES.items():
            self._parts[name].append(np.fromiter(values[name], dtype, len(kept)))

    def events(self, origin: float) -> MemoryEvents:
        """Those of the accelerator if there are any, else of the host."""
        columns = {name: _joined(self._parts[name], dtype) for name, dtype in _MEMORY_DTYPES.items()}
        kind = _CUDA if (columns["device"] == _CUDA).any() else 0
        own = np.flatnonzero(columns["device"] == kind)
        own = own[np.argsort(columns["at"][own], kind="stable")]
        return MemoryEvents(
            at=np.rint((columns["at"][own] - origin) * 1e3).astype(np.int64), bytes=columns["bytes"][own],
            address=columns["address"][own], thread=columns["thread"][own], device="cuda" if kind == _CUDA else "cpu",
        )  # fmt: skip


_MEMORY_DTYPES: dict[str, type] = {
    "at": np.float64, "bytes": np.int64, "address": np.int64, "thread": np.int64, "device": np.int64,
}  # fmt: skip


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


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
