"""Who holds the memory at the moment when most is held, from the trace's allocations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jupyter_optim.profiling.trace import Columns, Ints, Kind
from jupyter_optim.report import Holder, HolderKind

_HOLDERS = 20
_POINTS = 120
_NODE = "autograd::engine::evaluate_function: "
_STEP = "Optimizer.step#"


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment of an interval at which most was held above its beginning.

    Attributes:
        bytes: how much more than at the beginning.
        kinds: by kind of holder, the largest first; their bytes sum to `bytes`.
        holders: by kind, op, module and line, the largest first, twenty at most.
        timeline: ms since the beginning and bytes above it, at most 120 points with the peak among them.
    """

    bytes: int
    kinds: tuple[Holder, ...]
    holders: tuple[Holder, ...]
    timeline: tuple[tuple[float, int], ...]

    def scaled(self, factor: float) -> Peak:
        """The same, with times that much longer."""
        return replace(self, timeline=tuple((ms * factor, held) for ms, held in self.timeline))


@dataclass(frozen=True, slots=True)
class _Block:
    bytes: int
    row: int
    """The innermost op that allocated it, or -1."""
    kind: HolderKind


def peak_of(
    columns: Columns, start: int, end: int, *, paths: Sequence[str | None], line_names: Sequence[str | None]
) -> Peak | None:
    """The peak between two instants of a trace, ns; None if nothing was allocated there.

    Args:
        columns: the trace.
        start: when the interval begins.
        end: when it ends.
        paths: `paths[n]` is the qualified name of the module whose ranges are number n.
        line_names: `line_names[n]` is what line number n is called.
    """
    memory = columns.memory
    low, high = np.searchsorted(memory.at, start), np.searchsorted(memory.at, end, side="right")
    if high <= low:
        return None
    held = np.cumsum(memory.bytes[low:high])
    top = int(held.argmax())
    if held[top] <= 0:
        return None
    blocks = _alive(columns, int(low), top)
    # what was there before and was released meanwhile lowers the curve, and is no block of this interval
    released = int(held[top]) - sum(block.bytes for block in blocks)
    module_row, line_row = columns.innermost(Kind.MODULE), columns.innermost(Kind.LINE)
    by_kind: dict[HolderKind, list[int]] = defaultdict(lambda: [0, 0])
    by_place: dict[tuple[HolderKind, str | None, str | None, str | None], list[int]] = defaultdict(
        lambda: [0, 0]
    )
    for block in blocks:
        row = block.row
        at_module = int(module_row[row]) if row >= 0 else -1
        at_line = int(line_row[row]) if row >= 0 else -1
        place = (
            block.kind,
            columns.names[columns.name[row]] if row >= 0 else None,
            paths[columns.code[at_module]] if at_module >= 0 else None,
            line_names[columns.code[at_line]] if at_line >= 0 and line_names else None,
        )
        for found in (by_kind[block.kind], by_place[place]):
            found[0] += block.bytes
            found[1] += 1
    if released < 0 and by_kind:
        largest = max(by_kind, key=lambda kind: by_kind[kind][0])
        by_kind[largest][0] += released
    kinds = [Holder(kind=kind, bytes=size, blocks=count) for kind, (size, count) in by_kind.items()]
    holders = [
        Holder(kind=kind, bytes=size, blocks=count, op=op, module=module, line=line)
        for (kind, op, module, line), (size, count) in by_place.items()
    ]
    return Peak(
        int(held[top]), tuple(sorted(kinds, key=lambda each: -each.bytes)),
        tuple(sorted(holders, key=lambda each: -each.bytes)[:_HOLDERS]),
        _timeline(memory.at[low:high] - start, held, top, end - start),
    )  # fmt: skip


def _alive(columns: Columns, low: int, top: int) -> list[_Block]:
    """The blocks that were allocated in the interval and are held at its peak."""
    memory = columns.memory
    live: dict[int, int] = {}
    for i in range(low, low + top + 1):
        address = int(memory.address[i])
        if memory.bytes[i] > 0:
            live[address] = i
        else:
            live.pop(address, None)
    freed: dict[int, int] = {}
    wanted = set(live)
    # also beyond the interval: what the call returns is released later
    for i in range(low + top + 1, len(memory)):
        address = int(memory.address[i])
        if memory.bytes[i] <= 0 and address in wanted:
            freed[address] = int(memory.at[i])
            wanted.discard(address)
            if not wanted:
                break
    finder = _Finder(columns)
    found = []
    for address, i in live.items():
        row = finder.innermost(int(memory.at[i]), int(memory.thread[i]))
        kind = finder.kind(row, freed.get(address))
        found.append(_Block(int(memory.bytes[i]), row, kind))
    return found


class _Finder:
    """Finds the op around an instant, and what a block is by who made it and how long it stays."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._bounds = np.searchsorted(columns.thread, np.arange(int(columns.thread.max(initial=0)) + 2))
        self._layer = columns.innermost(Kind.MODULE)
        is_node = np.array([name.startswith(_NODE) for name in columns.names], np.bool_)
        self._is_step = np.array([name.startswith(_STEP) for name in columns.names], np.bool_)
        self._special = is_node | self._is_step
        nodes, end = np.flatnonzero(is_node[columns.name]), columns.start + columns.duration
        # a backward pass ends where a module or the optimizer goes on
        between = np.sort(columns.start[(columns.kind == Kind.MODULE) | self._is_step[columns.name]])
        group = np.searchsorted(between, columns.start[nodes])
        ends = np.zeros(len(between) + 1, np.int64)
        np.maximum.at(ends, group, end[nodes])
        self._pass_end = dict(zip(nodes.tolist(), ends[group].tolist(), strict=True))

    def innermost(self, at: int, thread: int) -> int:
        """The innermost op around an instant of a thread, or -1."""
        columns = self._columns
        if not 0 <= thread < len(self._bounds) - 1:
            return -1
        low, high = int(self._bounds[thread]), int(self._bounds[thread + 1])
        row = low + int(np.searchsorted(columns.start[low:high], at, side="right")) - 1
        while row >= low and (
            columns.start[row] + columns.duration[row] < at or columns.kind[row] == Kind.LINE
        ):
            row = int(columns.parent[row])
        return row if row >= low else -1

    def kind(self, row: int, freed: int | None) -> HolderKind:
        columns = self._columns
        outer = row
        while outer >= 0 and not self._special[columns.name[outer]]:
            outer = int(columns.parent[outer])
        if outer >= 0:
            if self._is_step[columns.name[outer]]:
                lasts = freed is None or freed > columns.start[outer] + columns.duration[outer]
                return "optimizer state" if lasts else "temporaries"
            return "gradients" if freed is None or freed > self._pass_end[outer] else "temporaries"
        if row < 0 or self._layer[row] < 0:
            return "other tensors"
        call = row
        while columns.parent[call] >= 0 and columns.kind[columns.parent[call]] in (Kind.OP, Kind.NOTE):
            call = int(columns.parent[call])
        lasts = freed is None or freed > columns.start[call] + columns.duration[call]
        return "activations" if lasts else "temporaries"


def _timeline(at: Ints, held: Ints, top: int, length: int) -> tuple[tuple[float, int], ...]:
    """The curve in few points: of each stretch its last value, and the peak."""
    if len(at) > _POINTS:
        chosen = np.unique(np.append(np.linspace(0, len(at) - 1, _POINTS - 1).astype(np.int64), top))
        at, held = at[chosen], held[chosen]
    points = [(0.0, 0), *((float(t) / 1e6, int(h)) for t, h in zip(at, held, strict=True))]
    if points[-1][0] < length / 1e6:
        points.append((length / 1e6, points[-1][1]))
    return tuple(points)
