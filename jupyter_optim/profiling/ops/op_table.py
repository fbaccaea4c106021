"""The rows of ops: which op, of which module and line, took how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.ops.costs import Costs
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.report import Op


@dataclass(frozen=True, slots=True)
class Spent:
    """The time of some calls in a trace, and how it becomes that of one call.

    Attributes:
        inside: by row, whether it belongs to the calls.
        ns: by row, nanoseconds by itself: of the accelerator, if that is where the work is done.
        calls: how many there are.
        basis: nanoseconds that shares are shares of.
        on_device: whether `ns` is an accelerator's time.
    """

    inside: NDArray[np.bool_]
    ns: Ints
    calls: int
    basis: float
    on_device: bool

    def ms(self, ns: float) -> float:
        """Milliseconds of one call."""
        return float(ns) / self.calls / 1e6

    def share(self, ns: float) -> float:
        """The part of all time."""
        return float(ns) / self.basis if self.basis else 0.0


@dataclass(frozen=True, slots=True)
class OpTable:
    """Sums of ops.

    Attributes:
        causes: the trace, and what its rows belong to.
        spent: their times.
        is_op: by row, whether it counts as an op.
        labels: what modules and lines are called.
        work: operations and bytes by row, if the trace has shapes.
        launches: by row, the pieces of work that it launched itself on an accelerator.
    """

    causes: Causes
    spent: Spent
    is_op: NDArray[np.bool_]
    labels: Labels
    work: Costs | None
    launches: Ints

    def ops(self) -> tuple[Op, ...]:
        """A row for each op of each module and line, those that took longest first.

        Those of a backward pass belong to the module and the line of the forward op that made them necessary.
        """
        columns, labels, spent = self.causes.columns, self.labels, self.spent
        rows = np.flatnonzero(self.is_op)
        module = _codes(self.causes, Kind.MODULE, rows)
        line = _codes(self.causes, Kind.LINE, rows) if labels.lines else np.full(len(rows), -1)
        sizes = len(labels.modules) + 1, len(labels.lines) + 1
        keys, group = np.unique(
            (columns.name[rows] * sizes[0] + module + 1) * sizes[1] + line + 1, return_inverse=True
        )
        first = ~repeated(columns)[rows]

        def sums(values: Ints) -> Ints:
            return np.bincount(group, values, len(keys))

        count, self_ns, total_ns = (
            sums(first.astype(np.int64)),
            sums(spent.ns[rows]),
            sums(first * columns.duration[rows]),
        )
        host_ns, kernels = sums(columns.exclusive()[rows]), sums(self.launches[rows])
        flops, moved, dtype = self._work(rows, group, len(keys))
        found = []
        for i in np.argsort(-self_ns, kind="stable"):
            rest, at_line = divmod(int(keys[i]), sizes[1])
            name, at_module = divmod(rest, sizes[0])
            op = Op(
                name=columns.names[name], calls=float(count[i]) / spent.calls, self_ms=spent.ms(self_ns[i]),
                total_ms=spent.ms(total_ns[i]), share=spent.share(self_ns[i]), flops=flops[i], bytes=moved[i],
                bound=None, dtype=dtype[i], module=labels.path(at_module - 1), line=labels.line(at_line - 1),
                device="cuda" if spent.on_device else "cpu", host_ms=spent.ms(host_ns[i]) if spent.on_device else None,
                kernels=float(kernels[i]) / spent.calls if spent.on_device else None,
            )  # fmt: skip
            found.append(op)
        return tuple(found)

    def flops(self) -> int | None:
        """Operations of one call, as far as they are known."""
        work = self.work
        if work is None:
            return None
        known = self.is_op & work.counted & ~np.isnan(work.flops)
        return round(float(work.flops[known].sum()) / self.spent.calls)

    def counted_share(self) -> float:
        """Fraction of the ops' time that is not in ops of unknown work."""
        if self.work is None:
            return 0.0
        total = float(self.spent.ns[self.is_op].sum())
        unknown = float(self.spent.ns[self.is_op & self.work.unknown].sum())
        return 1 - unknown / total if total else 0.0

    def _work(
        self, rows: Ints, group: Ints, size: int
    ) -> tuple[list[int | None], list[int | None], list[str | None]]:
        """By group of `rows`: operations, bytes, and element type, of one call."""
        work = self.work
        if work is None:
            return [None] * size, [None] * size, [None] * size
        sums = []
        for values in (work.flops[rows], work.bytes[rows]):
            known = work.counted[rows] & ~np.isnan(values)
            total = np.bincount(group, np.where(known, values, 0.0), size) / self.spent.calls
            any_known = np.bincount(group, known, size) > 0
            sums.append([round(float(t)) if k else None for t, k in zip(total, any_known, strict=True)])
        number, typed = np.full(size, -1, np.int64), work.dtype[rows] >= 0
        number[group[typed]] = work.dtype[rows][typed]  # the last of each group stays
        return sums[0], sums[1], [work.dtypes[n] if n >= 0 else None for n in number.tolist()]


def _codes(causes: Causes, kind: Kind, rows: Ints) -> Ints:
    """For each of `rows`, the number of the range of `kind` that it belongs to, or -1."""
    around = causes.innermost(kind)[rows]
    return np.where(around >= 0, causes.columns.code[around], -1)


def repeated(columns: Columns) -> NDArray[np.bool_]:
    """Whether each event lies directly within one of its own name: ``aten::mul`` of a scalar calls that of a tensor."""
    same: NDArray[np.bool_] = columns.name[np.maximum(columns.parent, 0)] == columns.name
    return same & (columns.parent >= 0)


def by_name(columns: Columns) -> dict[str, tuple[int, int, int]]:
    """For each op name: calls, self time and total time, ns, over the whole trace.

    The same sums as `key_averages()`: an op directly within another of its name is one call with it.
    """
    rows = np.flatnonzero((columns.kind == Kind.OP) | (columns.kind == Kind.NOTE))
    codes, size = columns.name[rows], len(columns.names)
    first = ~repeated(columns)[rows]
    calls = np.bincount(codes, first, size)
    own = np.bincount(codes, columns.exclusive()[rows], size)
    total = np.bincount(codes, first * columns.duration[rows], size)
    return {columns.names[i]: (int(calls[i]), int(own[i]), int(total[i])) for i in np.flatnonzero(calls)}
