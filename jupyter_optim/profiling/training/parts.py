"""The ops, modules and lines that take most of a phase of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.report import PhasePart

_MOST = 8
_LEAST_SHARE = 0.01


class Parts(TypedDict):
    """The fields of a `Phase` that tell what takes it."""

    top_ops: tuple[PhasePart, ...]
    top_modules: tuple[PhasePart, ...]
    top_lines: tuple[PhasePart, ...]


class PhaseParts:
    """Finds what takes the time of phases.

    Args:
        causes: the trace, and which module and line its rows belong to.
        own: by row, nanoseconds by itself.
        steps: how many steps the phases are of.
        labels: what modules and lines are called.
    """

    def __init__(self, causes: Causes, own: Ints, steps: int, labels: Labels) -> None:
        columns = causes.columns
        self._columns, self._own, self._steps, self._labels = columns, own, steps, labels
        self._is_op = (columns.kind == Kind.OP) | (columns.kind == Kind.NOTE)
        self._module, self._line = (_codes(causes, kind) for kind in (Kind.MODULE, Kind.LINE))
        ends = (columns.start + columns.duration)[columns.kind == Kind.LINE]
        # lines are traced for a while only: what is known of them is taken for the whole
        self._lined = columns.start < int(ends.max(initial=0))

    def of(self, phase: NDArray[np.bool_], total: float) -> Parts:
        """At most eight ops, modules and lines each, the largest first, with 1% of a phase or more.

        Args:
            phase: by row, whether it is of the phase.
            total: nanoseconds of the phase, which shares are shares of.
        """
        rows = np.flatnonzero(phase & (self._own > 0))
        ops, lined = rows[self._is_op[rows]], rows[self._lined[rows]]
        lined_total = total if len(lined) == len(rows) else float(self._own[lined].sum())
        return Parts(
            top_ops=self._top(self._columns.name, ops, self._columns.names.__getitem__, total, total),
            top_modules=self._top(self._module, rows, self._labels.path, total, total),
            top_lines=self._top(self._line, lined, self._labels.line, lined_total, total),
        )

    def _top(
        self, numbers: Ints, rows: Ints, name_of: Callable[[int], str | None], known: float, total: float
    ) -> tuple[PhasePart, ...]:
        """The largest sums by the names of the rows' numbers; -1, and what has no name, is nobody's.

        `known` is the part of the phase's `total` that the rows were looked for in.
        """
        rows = rows[numbers[rows] >= 0]
        sums: dict[str, float] = defaultdict(float)
        for number, ns in enumerate(np.bincount(numbers[rows], self._own[rows]).tolist()):
            name = name_of(number) if ns else None
            if name is not None:
                sums[name] += ns
        found = sorted(sums.items(), key=lambda item: -item[1])[:_MOST]
        step_ms = total / self._steps / 1e6
        return tuple(
            PhasePart(name=name, ms=ns / known * step_ms, share=ns / known)
            for name, ns in found
            if known and ns >= _LEAST_SHARE * known
        )


def _codes(causes: Causes, kind: Kind) -> Ints:
    """For each row, the number of the range of `kind` that it belongs to, or -1."""
    found = causes.innermost(kind)
    return np.where(found >= 0, causes.columns.code[found], -1)
