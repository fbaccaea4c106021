"""Who holds the memory at the moment when most is held, from the trace's allocations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import named, nearest, running
from jupyter_optim.report import Holder, HolderKind

_HOLDERS = 20
_POINTS = 120
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
    columns: Columns, start: int, end: int, *, paths: Sequence[str | None], line_names: Sequence[str | None],
    causes: Causes | None = None, weights: Mapping[int, int] = MappingProxyType({}),
) -> Peak | None:  # fmt: skip
    """The peak between two instants of a trace, ns; None if nothing was allocated there.

    What a backward pass allocates belongs to the module and the line of the forward op that caused it.

    Args:
        columns: the trace.
        start: when the interval begins.
        end: when it ends.
        paths: `paths[n]` is the qualified name of the module whose ranges are number n.
        line_names: `line_names[n]` is what line number n is called.
        causes: those of the trace, if they are known already.
        weights: by address, bytes of a model's weights, which may be made in the interval.
    """
    memory = columns.memory
    low, high = np.searchsorted(memory.at, start), np.searchsorted(memory.at, end, side="right")
    if high <= low:
        return None
    held = np.cumsum(memory.bytes[low:high])
    top = int(held.argmax())
    if held[top] <= 0:
        return None
    causes = causes or Causes.of(columns)
    blocks = _alive(causes, int(low), top, weights)
    # what was there before and was released meanwhile lowers the curve, and is no block of this interval
    released = int(held[top]) - sum(block.bytes for block in blocks)
    module_row, line_row = causes.innermost(Kind.MODULE), causes.innermost(Kind.LINE)
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
            _name(paths, int(columns.code[at_module])) if at_module >= 0 else None,
            _name(line_names, int(columns.code[at_line])) if at_line >= 0 else None,
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


def _name(names: Sequence[str | None], number: int) -> str | None:
    return names[number] if number < len(names) else None


def _alive(causes: Causes, low: int, top: int, weights: Mapping[int, int]) -> list[_Block]:
    """The blocks that were allocated in the interval and are held at its peak."""
    memory = causes.columns.memory
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
    made = np.fromiter(live.values(), np.int64, len(live))
    finder = _Finder(causes)
    found = []
    for (address, i), row in zip(live.items(), finder.makers(made).tolist(), strict=True):
        size = int(memory.bytes[i])
        is_weight = address not in freed and 0 < weights.get(address, 0) <= size
        found.append(_Block(size, row, "weights" if is_weight else finder.kind(row, freed.get(address))))
    return found


class _Finder:
    """Finds the ops that made blocks, and what a block is by who made it and how long it stays."""

    def __init__(self, causes: Causes) -> None:
        columns = causes.columns
        self._columns = columns
        self._layer = columns.innermost(Kind.MODULE)
        self._node = causes.node
        is_step = named(columns, _STEP)
        self._step = nearest(columns, is_step)
        nodes = np.flatnonzero(self._node == np.arange(len(columns)))
        # a backward pass ends where a module or the optimizer goes on; a module within it is a checkpoint's
        goes_on = ((columns.kind == Kind.MODULE) & (self._node < 0)) | is_step
        between = np.sort(columns.start[goes_on])
        group = np.searchsorted(between, columns.start[nodes])
        ends = np.zeros(len(between) + 1, np.int64)
        np.maximum.at(ends, group, (columns.start + columns.duration)[nodes])
        self._pass_end = dict(zip(nodes.tolist(), ends[group].tolist(), strict=True))

    def makers(self, made: Ints) -> Ints:
        """For some allocations, the innermost event around each but for lines, or -1."""
        columns = self._columns
        memory = columns.memory
        return running(columns, memory.at[made], memory.thread[made], columns.kind == Kind.LINE)

    def kind(self, row: int, freed: int | None) -> HolderKind:
        columns = self._columns
        node, step = (int(self._node[row]), int(self._step[row])) if row >= 0 else (-1, -1)
        # an optimizer's closure has a backward pass within the step
        if node >= 0 and node > step:
            return "gradients" if freed is None or freed > self._pass_end[node] else "temporaries"
        if step >= 0:
            lasts = freed is None or freed > columns.start[step] + columns.duration[step]
            return "optimizer state" if lasts else "temporaries"
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
