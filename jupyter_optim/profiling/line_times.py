"""From ranges and samples to the time of each line, the backward pass with the lines that caused it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.stack_sampler import Place, StackSampler
from jupyter_optim.profiling.trace import Columns, Ints, Kind


@dataclass(slots=True)
class LineTimes:
    """Nanoseconds by line, over all that was traced or sampled.

    Attributes:
        inclusive: while the line was running, what it calls included; recursion counts once.
        own: while it was the innermost line of the user's.
        bytes: the most host memory that the line held above what it started with, in one execution.
        moved: by line, the backward time that was taken from it, and to which lines it went: inclusive and own.
    """

    inclusive: dict[Place, float] = field(default_factory=lambda: defaultdict(float))
    own: dict[Place, float] = field(default_factory=lambda: defaultdict(float))
    bytes: dict[Place, int] = field(default_factory=dict)
    moved: dict[Place, dict[Place, tuple[float, float]]] = field(default_factory=dict)


def line_times(
    columns: Columns, lines: Sequence[Place], within: NDArray[np.bool_] | None = None
) -> LineTimes:
    """Times of the lines in a trace.

    Backward time belongs to the line whose forward made it necessary, and not to that of ``loss.backward()``.

    Args:
        columns: the trace.
        lines: `lines[n]` is the line whose ranges are number n.
        within: rows to look at; by default, all.
    """
    found = LineTimes()
    is_line = columns.kind == Kind.LINE
    if within is not None:
        is_line &= within
    rows = np.flatnonzero(is_line)
    if len(rows) == 0:
        return found
    around = columns.around(Kind.LINE)
    first = rows[~_nested_in_itself(columns, rows, around)]
    for total, number in _sums(columns.duration[first], columns.code[first]):
        found.inclusive[lines[number]] += total
    inner = np.zeros(len(columns), np.int64)
    outer = around[rows]
    np.add.at(inner, outer[outer >= 0], columns.duration[rows][outer >= 0])
    for total, number in _sums((columns.duration - inner)[rows], columns.code[rows]):
        found.own[lines[number]] += total
    _move_backward(found, columns, lines, around, is_line)
    found.bytes = _held(columns, lines, first)
    return found


def with_samples(times: LineTimes, sampler: StackSampler) -> LineTimes:
    """`times` and what was sampled after the tracing had ended.

    A sample shows the line of ``backward()`` only: its time is spread as in the part that was traced.
    """
    whole = LineTimes(
        defaultdict(float, times.inclusive), defaultdict(float, times.own), dict(times.bytes), times.moved
    )
    for place, spent in sampler.inclusive.items():
        whole.inclusive[place] += spent
    for place, spent in sampler.own.items():
        whole.own[place] += spent
        taken = times.moved.get(place)
        if taken is None:
            continue
        # what the line had of its own before anything was taken from it
        before = times.own[place] - taken[place][1]
        factor = spent / before if before > 0 else 0.0
        for other, (inclusive, own) in taken.items():
            whole.inclusive[other] += factor * inclusive
            whole.own[other] += factor * own
    return whole


def _sums(values: Ints, numbers: Ints) -> list[tuple[float, int]]:
    keys, inverse = np.unique(numbers, return_inverse=True)
    totals = np.bincount(inverse, values, len(keys))
    return [(float(total), int(key)) for total, key in zip(totals, keys, strict=True)]


def _nested_in_itself(columns: Columns, rows: Ints, around: Ints) -> NDArray[np.bool_]:
    """Whether each line range lies within another of the same line: recursion, or a call of its own line's lambda."""
    nested = np.zeros(len(rows), np.bool_)
    outer = around[rows]
    while (outer >= 0).any():
        nested |= (outer >= 0) & (columns.code[np.maximum(outer, 0)] == columns.code[rows])
        outer = np.where(outer >= 0, around[np.maximum(outer, 0)], -1)
    return nested


def _move_backward(
    found: LineTimes, columns: Columns, lines: Sequence[Place], around: Ints, is_line: NDArray[np.bool_]
) -> None:
    """Take the time of each backward node from the line that runs it, and give it to its forward op's line."""
    nodes = _backward_nodes(columns)
    made_by = _makers(columns)
    chains: dict[int, frozenset[Place]] = {}

    def chain(row: int) -> frozenset[Place]:
        """All lines around a row."""
        if row < 0:
            return frozenset()
        if row not in chains:
            own = {lines[columns.code[row]]} if is_line[row] else set()
            chains[row] = frozenset(own) | chain(int(around[row]))
        return chains[row]

    sequence = -1
    for row in nodes:
        # AccumulateGrad has no number: it belongs to the node before it
        sequence = int(columns.sequence[row]) if columns.sequence[row] >= 0 else sequence
        maker = made_by.get(sequence, -1)
        if maker < 0 or around[maker] < 0 or around[row] < 0 or around[maker] == around[row]:
            continue
        spent = float(columns.duration[row])
        here, there = lines[columns.code[around[row]]], lines[columns.code[around[maker]]]
        running, making = chain(int(around[row])), chain(int(around[maker]))
        taken = found.moved.setdefault(here, {})
        for places, sign in ((running - making, -1.0), (making - running, 1.0)):
            for place in places | ({here} if sign < 0 else {there}):
                inclusive, own = taken.get(place, (0.0, 0.0))
                is_end = place == (here if sign < 0 else there)
                taken[place] = (
                    inclusive + (sign * spent if place in places else 0.0), own + (sign * spent if is_end else 0.0)
                )  # fmt: skip
    for taken in found.moved.values():
        for place, (inclusive, own) in taken.items():
            found.inclusive[place] += inclusive
            found.own[place] += own


def _backward_nodes(columns: Columns) -> Ints:
    """Rows of the outermost events of the backward pass, in order of time."""
    prefix = "autograd::engine::evaluate_function: "
    is_node = np.fromiter((name.startswith(prefix) for name in columns.names), np.bool_, len(columns.names))
    rows = np.flatnonzero(is_node[columns.name])
    return rows[np.argsort(columns.start[rows], kind="stable")]


def _makers(columns: Columns) -> Mapping[int, int]:
    """By sequence number, the row of the forward op that made the node: the last one that carries it."""
    rows = np.flatnonzero((columns.sequence >= 0) & ~columns.backward)
    return dict(zip(columns.sequence[rows].tolist(), rows.tolist(), strict=True))


def _held(columns: Columns, lines: Sequence[Place], rows: Ints) -> dict[Place, int]:
    found: dict[Place, int] = {}
    risen = columns.memory.risen(columns.start[rows], columns.duration[rows])
    for row, most in zip(rows[risen > 0], risen[risen > 0], strict=True):
        place = lines[columns.code[row]]
        found[place] = max(found.get(place, 0), int(most))
    return found
