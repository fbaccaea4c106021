"""What made the work of a backward pass necessary: the op of the forward pass, its module and its line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import named, nearest, running

_NODE = "autograd::engine::evaluate_function: "
"""What torch calls its range around each node of the backward pass."""


def is_node(columns: Columns) -> NDArray[np.bool_]:
    """For each row, whether it is a node of a backward pass."""
    return named(columns, _NODE)


@dataclass(frozen=True, slots=True)
class Causes:
    """What caused each row of a trace.

    Attributes:
        columns: the trace.
        node: for each row, the innermost node of a backward pass at or around it, or -1.
        row: for each row within a node, the forward op that made the node; else, or if that op is not in the trace,
            the row itself. Of an op that a backward pass made itself, for a second derivative, it is the op of the
            first forward.
    """

    columns: Columns
    node: Ints
    row: Ints
    _maker: Ints
    """For each row that is a node, the op that made it, or -1."""

    @classmethod
    def of(cls, columns: Columns) -> Causes:
        """Find the causes of a trace's rows."""
        nodes = is_node(columns)
        node = nearest(columns, nodes)
        maker = np.full(len(columns), -1, np.int64)
        rows = np.flatnonzero(nodes)
        maker[rows] = _makers(columns, rows)
        found = cls(columns, node, np.arange(len(columns)), maker)
        return cls(columns, node, found._origin(node >= 0), maker)

    def innermost(self, kind: Kind) -> Ints:
        """For each row, the row of the range of `kind` that it belongs to, or -1.

        That is the innermost one around its cause. What a node itself calls, such as a forward that is computed once
        more for a checkpoint, or the Python code of an own `torch.autograd.Function`, belongs to the ranges within the
        node.
        """
        around = self.columns.innermost(kind)
        depth = self.columns.depth
        outside = (self.node >= 0) & ((around < 0) | (depth[around] < depth[self.node]))
        return around[self._origin(outside)]

    def outermost_nodes(self) -> Ints:
        """Rows of the nodes that lie within no other, in order of thread and time."""
        rows = np.flatnonzero(self.node == np.arange(len(self.columns)))
        parent = self.columns.parent[rows]
        return rows[(parent < 0) | (self.node[np.maximum(parent, 0)] < 0)]

    def around_pass(self, rows: Ints, kind: Kind) -> Ints:
        """For some nodes, the innermost range of `kind` around the call that runs the backward pass, or -1.

        A backward pass on an accelerator has a thread of its own, while the one that called it waits: there, it is the
        range that is open in the thread of the forward.
        """
        columns = self.columns
        around = columns.innermost(kind)
        found = around[rows]
        away = np.flatnonzero((found < 0) & (columns.thread[self.row[rows]] != columns.thread[rows]))
        if len(away):
            waits = running(columns, columns.start[rows[away]], columns.thread[self.row[rows[away]]])
            found[away] = np.where(waits >= 0, around[waits], -1)
        return found

    def _origin(self, within: NDArray[np.bool_]) -> Ints:
        """Each row, or the maker of its node if it is `within` that, and the maker's maker if that is, and so on."""
        at = np.arange(len(self.columns))
        while True:
            maker = self._maker[self.node[at]]
            # makers are earlier than their nodes, so this ends
            moved = within[at] & (maker >= 0)
            if not moved.any():
                return at
            at = np.where(moved, maker, at)


def _makers(columns: Columns, nodes: Ints) -> Ints:
    """For each of some nodes, in order of thread and time, the forward op that made it, or -1.

    A node and its op have the same sequence number, which each thread counts for itself. Ops that make no node carry
    the number of the next one that does, so the last op with a number is the one. AccumulateGrad has no number: it
    belongs to the node before it, whose result it adds to the gradient.
    """
    found = np.full(len(nodes), -1, np.int64)
    forward = np.flatnonzero((columns.sequence >= 0) & ~columns.backward)
    if len(nodes) == 0 or len(forward) == 0:
        return found
    number = _filled(columns.sequence[nodes], columns.thread[nodes])
    sequence, thread = columns.sequence[forward], columns.thread[forward]
    order = np.lexsort((forward, thread, sequence))
    last = np.append((np.diff(sequence[order]) != 0) | (np.diff(thread[order]) != 0), True)
    makers = forward[order[last]]
    low = np.searchsorted(columns.sequence[makers], number)
    high = np.searchsorted(columns.sequence[makers], number, side="right")
    known = (number >= 0) & (high == low + 1)
    found[known] = makers[low[known]]
    for i in np.flatnonzero((number >= 0) & (high > low + 1)):
        # several threads counted that far: without a sign which one's it is, it is that of its own thread or nobody's
        own = [row for row in makers[low[i] : high[i]] if columns.thread[row] == columns.thread[nodes[i]]]
        found[i] = own[0] if own else -1
    found[(found >= 0) & (columns.start[found] >= columns.start[nodes])] = -1
    return found


def _filled(number: Ints, thread: Ints) -> Ints:
    """`number`, where -1 stands for the last one before it in its thread."""
    at = np.maximum.accumulate(np.where(number >= 0, np.arange(len(number)), -1))
    return np.where((at >= 0) & (thread[at] == thread), number[at], -1)
