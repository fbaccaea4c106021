"""From ranges and samples to the time of each line, the backward pass with the lines that caused it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.lines.moves import (
    Chains,
    Move,
    backward_moves,
    device_time_by_line,
    wait_moves,
)
from jupyter_optim.profiling.lines.stack_sampler import Place, StackSampler
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind


@dataclass(slots=True)
class LineTimes:
    """Nanoseconds by line, over all that was traced or sampled.

    Attributes:
        inclusive: while the line was running, what it calls included; recursion counts once.
        own: while it was the innermost line of the user's.
        bytes: the most host memory that the line held above what it started with, in one execution.
        moved: by line, the time that was taken from it, that of a backward pass or of waiting for an accelerator, and
            to which lines it went: inclusive and own.
        on_device: the accelerator's time of what the line launched, what it calls included.
    """

    inclusive: dict[Place, float] = field(default_factory=lambda: defaultdict(float))
    own: dict[Place, float] = field(default_factory=lambda: defaultdict(float))
    bytes: dict[Place, int] = field(default_factory=dict)
    moved: dict[Place, dict[Place, tuple[float, float]]] = field(default_factory=dict)
    on_device: dict[Place, float] = field(default_factory=dict)


def line_times(
    columns: Columns, lines: Sequence[Place], within: NDArray[np.bool_] | None = None
) -> LineTimes:
    """Times of the lines in a trace.

    Backward time belongs to the line whose forward made it necessary, and not to that of ``loss.backward()``; time of
    waiting for an accelerator belongs to the lines that launched what it did meanwhile.

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
    causes, chains = Causes.of(columns), Chains(columns, lines, is_line)
    for move in (*backward_moves(causes), *wait_moves(causes)):
        _move(found, move, columns, lines, chains)
    for taken in found.moved.values():
        for place, (inclusive, own) in taken.items():
            found.inclusive[place] += inclusive
            found.own[place] += own
    found.bytes = _held(columns, lines, first)
    found.on_device = device_time_by_line(causes, chains)
    return found


def with_samples(times: LineTimes, sampler: StackSampler) -> LineTimes:
    """`times` and what was sampled after the tracing had ended.

    A sample shows the line of ``backward()`` only: its time is spread as in the part that was traced.
    """
    whole = LineTimes(
        defaultdict(float, times.inclusive), defaultdict(float, times.own), dict(times.bytes), times.moved,
        times.on_device,
    )  # fmt: skip
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


def _move(found: LineTimes, move: Move, columns: Columns, lines: Sequence[Place], chains: Chains) -> None:
    """Note what is taken from the one line, and those around it, and given to the other."""
    there, winners = lines[columns.code[move.given]], chains.of(move.given)
    if move.taken < 0:
        for place in winners:
            found.inclusive[place] += move.ns
        found.own[there] += move.own_ns
        return
    here, losers = lines[columns.code[move.taken]], chains.of(move.taken)
    taken = found.moved.setdefault(here, {})
    for places, others, end, sign in ((losers, winners, here, -1.0), (winners, losers, there, 1.0)):
        for place in (places - others) | {end}:
            inclusive, own = taken.get(place, (0.0, 0.0))
            taken[place] = (
                inclusive + (sign * move.ns if place not in others else 0.0),
                own + (sign * move.own_ns if place == end else 0.0),
            )


def _held(columns: Columns, lines: Sequence[Place], rows: Ints) -> dict[Place, int]:
    found: dict[Place, int] = {}
    risen = columns.memory.risen(columns.start[rows], columns.duration[rows])
    for row, most in zip(rows[risen > 0], risen[risen > 0], strict=True):
        place = lines[columns.code[row]]
        found[place] = max(found.get(place, 0), int(most))
    return found
