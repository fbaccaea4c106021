"""The work of each op in a trace, from its recorded shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.ops.flops import Cost, cost_of, counted
from jupyter_optim.profiling.trace.columns import Columns, Kind

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Work by row of a trace; NaN where it is not known, or is that of other rows.

    Attributes:
        flops: operations, a multiply-add being two.
        bytes: the least that must be read and written.
        dtype: number of the element type in `dtypes`, or -1.
        dtypes: the names of the types: ``float32``.
        counted: rows whose work counts: an op that calls others must not count beside them.
        unknown: ops that work, by no formula of ours.
    """

    flops: Floats
    bytes: Floats
    dtype: NDArray[np.int64]
    dtypes: tuple[str, ...]
    counted: NDArray[np.bool_]
    unknown: NDArray[np.bool_]


_TYPES = {
    "float": "float32", "double": "float64", "c10::BFloat16": "bfloat16", "c10::Half": "float16",
    "signed char": "int8", "unsigned char": "uint8", "long int": "int64", "int": "int32",
    "c10::complex<float>": "complex64", "c10::complex<double>": "complex128",
}  # fmt: skip
"""Element types as C++ names them, which is how traces do."""


def costs(columns: Columns) -> Costs | None:
    """The work of each row, or None if the trace has no shapes."""
    if not columns.signatures:
        return None
    known = [cost_of(signature) for signature in columns.signatures]
    names = [
        next((_TYPES[t] for t in signature.types if t in _TYPES), "") for signature in columns.signatures
    ]
    dtypes = tuple(dict.fromkeys(name for name in names if name))
    has = columns.signature >= 0
    at = np.maximum(columns.signature, 0)

    def column(values: list[float]) -> Floats:
        return np.where(has, np.array(values, np.float64)[at], np.nan)

    rank = np.where(has, np.array([cost.rank for cost in known], np.int64)[at], 0)
    rows = counted(rank, columns.parent)
    works = np.array([_works(cost) for cost in known], np.bool_)[at] & has & (columns.kind == Kind.OP)
    # an op without a formula whose inner ops count is no gap
    around = _around(np.flatnonzero(rows), columns.parent)
    return Costs(
        flops=column([np.nan if cost.flops is None else cost.flops for cost in known]),
        bytes=column([np.nan if cost.bytes is None else cost.bytes for cost in known]),
        dtype=np.where(has, np.array([dtypes.index(n) if n else -1 for n in names], np.int64)[at], -1),
        dtypes=dtypes, counted=rows, unknown=works & ~around & ~rows,
    )  # fmt: skip


def _works(cost: Cost) -> bool:
    return cost.flops is None and cost.kind != "view"


def _around(rows: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that one of `rows` lies within."""
    found = np.zeros(len(parent), np.bool_)
    outer = parent[rows]
    while len(outer := np.unique(outer[outer >= 0])):
        outer = outer[~found[outer]]
        found[outer] = True
        outer = parent[outer]
    return found
