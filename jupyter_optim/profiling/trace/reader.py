"""Read a profiler's Chrome trace into numpy columns.

One reader serves the live profile and trace files. The typed decode and the columns are what makes it an
order of magnitude faster than `key_averages()`, which builds a Python object for each event
(pytorch#122905 complains of it).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
        work.add(events.add(batch))
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
        work=work.events(order),
    )  # fmt: skip


class _Table:
    """Events as columns, from one batch after another."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.threads: dict[_Thread, int] = {}
        self._numbers: dict[tuple[str, bytes, bytes, bytes], int] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _DTYPES}

    def add(self, batch: list[Event]) -> list[Event]:
        """Take in what is asked for of a batch, and return that."""
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
            "external": (-1 if e.args is None else max(e.args.external_id, e.args.launcher) for e in kept),
            "sequence": (-1 if e.args is None else e.args.sequence for e in kept),
            "backward": (e.args is not None and e.args.forward_thread > 0 for e in kept),
            "ts": (e.ts for e in kept),
            "dur": (e.dur for e in kept),
            "signature": map(self._signature, kept),
        }
        for name, dtype in _DTYPES.items():
            self._parts[name].append(np.fromiter(values[name], dtype, len(kept)))
        return kept

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


class _DeviceTable:
    """Work on an accelerator, and the calls that launched it, from one batch after another."""

    def __init__(self) -> None:
        self._count = 0
        self._launches: list[tuple[int, int]] = []
        self._work: list[tuple[int, Args]] = []

    def add(self, kept: list[Event]) -> None:
        """Take in those of a batch."""
        for at, event in enumerate(kept, self._count):
            kind = _CATEGORIES.get(event.cat)
            if kind is Kind.RUNTIME and event.args is not None:
                self._launches.append((at, event.args.correlation))
            elif kind is Kind.DEVICE:
                self._work.append((at, event.args or Args()))
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
