"""Time that one line of the user's spends for another: whom it is taken from, and to whom it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.gpu.device_work import places, waits
from jupyter_optim.profiling.lines.stack_sampler import Place
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import nearest, outer


@dataclass(frozen=True, slots=True)
class Move:
    """Some time of a line that belongs to another.

    Attributes:
        taken: row of the line range that spent it; -1 if it was spent in no line.
        given: row of the line range that caused it.
        ns: the time, with that of the lines that ran meanwhile.
        own_ns: without that.
    """

    taken: int
    given: int
    ns: float
    own_ns: float


class Chains:
    """All lines around a row of a trace."""

    def __init__(self, columns: Columns, lines: Sequence[Place], is_line: NDArray[np.bool_]) -> None:
        self._columns, self._lines, self._is_line = columns, lines, is_line
        self._around = columns.around(Kind.LINE)
        self._known: dict[int, frozenset[Place]] = {-1: frozenset()}

    def of(self, row: int) -> frozenset[Place]:
        """The lines around `row`, its own included; none for -1."""
        if row not in self._known:
            here = {self._lines[self._columns.code[row]]} if self._is_line[row] else set()
            self._known[row] = frozenset(here) | self.of(int(self._around[row]))
        return self._known[row]


def backward_moves(causes: Causes) -> Iterator[Move]:
    """The time of each backward node, from the line that runs the pass to the line of the forward op."""
    columns = causes.columns
    nodes = causes.outermost_nodes()
    made = nodes[causes.row[nodes] != nodes]
    running, making = causes.around_pass(made, Kind.LINE), columns.around(Kind.LINE)[causes.row[made]]
    own = _without_lines(columns, made)
    for node, at, to, alone in zip(made, running.tolist(), making.tolist(), own.tolist(), strict=True):
        if at >= 0 and to >= 0 and at != to:
            yield Move(at, to, float(columns.duration[node]), float(alone))


def wait_moves(causes: Causes) -> Iterator[Move]:
    """The time of waiting for an accelerator, from the line that waits to those that launched what ran meanwhile."""
    columns, work = causes.columns, causes.columns.work
    if len(work) == 0:
        return
    host, line = places(columns), causes.innermost(Kind.LINE)
    start, end = columns.start[work.row], columns.start[work.row] + columns.duration[work.row]
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    for wait in waits(columns):
        begun, done = int(columns.start[wait]), int(columns.start[wait] + columns.duration[wait])
        low, high = np.searchsorted(reach, begun, side="right"), np.searchsorted(start, done)
        shares = np.minimum(end[low:high], done) - np.maximum(start[low:high], begun)
        total = float(shares[shares > 0].sum())
        # streams that ran beside each other share the time
        factor = min(1.0, (done - begun) / total) if total else 0.0
        for piece, ns in zip(order[low:high].tolist(), shares.tolist(), strict=True):
            at, to = int(line[wait]), int(line[host[piece]]) if host[piece] >= 0 else -1
            if ns > 0 and to >= 0 and at != to:
                yield Move(at, to, ns * factor, ns * factor)


def device_time_by_line(causes: Causes, chains: Chains) -> dict[Place, float]:
    """By line: nanoseconds of the accelerator's work that it, or what it calls, launched."""
    columns = causes.columns
    host, line = places(columns), causes.innermost(Kind.LINE)
    found: dict[Place, float] = {}
    for at, spent in zip(host.tolist(), columns.duration[columns.work.row].tolist(), strict=True):
        for place in chains.of(int(line[at])) if at >= 0 else ():
            found[place] = found.get(place, 0.0) + spent
    return found


def _without_lines(columns: Columns, rows: Ints) -> Ints:
    """Duration of each of `rows` less that of the lines of the user's that it calls."""
    line = np.flatnonzero(columns.kind == Kind.LINE)
    wanted = np.zeros(len(columns), np.bool_)
    wanted[rows] = True
    wanted[line] = True
    # a line within another of the node is a part of that
    caller = outer(columns, nearest(columns, wanted))[line]
    called = (caller >= 0) & (columns.kind[caller] != Kind.LINE)
    inner = np.bincount(caller[called], columns.duration[line[called]], len(columns))
    return columns.duration[rows] - inner[rows].astype(np.int64)
