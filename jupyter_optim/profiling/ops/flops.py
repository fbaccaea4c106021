"""What an op of a trace costs: operations, and bytes that it must move at least.

Computed from the shapes that the profiler records with ``record_shapes=True``, so for any trace, also one of
another machine. Formulas that need more than a trace has give None, never 0.

An op that calls others (``aten::linear`` -> ``aten::addmm``) must not count beside them, nor a kernel's own
preparations (``aten::addmm`` copies its bias first) beside the kernel: `counted` says which rows count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.ops.formulas import (
    lookups,
    norms,
    pointwise,
    products,
    reductions,
    sequences,
    windows,
)
from jupyter_optim.profiling.ops.formulas.signature import Formula, OpSignature, Unknown

__all__ = ["Cost", "OpSignature", "cost_of", "counted", "innermost"]

CostKind: TypeAlias = Literal[
    "matmul",
    "conv",
    "attention",
    "rnn",
    "elementwise",
    "reduction",
    "norm",
    "copy",
    "gather",
    "view",
    "other",
]


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one call."""

    flops: int | None
    """Floating-point (or integer) operations, a multiply-add being 2; None: no formula."""
    bytes: int | None
    """Least bytes read and written: each input once, each output once; None: unknown."""
    kind: CostKind
    rank: int = 0
    """Which row counts where one lies in another (see `counted`); 0: there is nothing to count."""


_VIEW, _COPY, _POINTWISE, _PASS, _WHOLE = range(5)
"""Ranks. `_WHOLE`: what lies within such an op only prepares it, unless it is another such op."""

_TABLES: tuple[tuple[CostKind, int, Mapping[str, Formula]], ...] = (
    ("matmul", _WHOLE, products.MATMUL),
    ("conv", _WHOLE, products.CONVOLUTION),
    ("attention", _WHOLE, sequences.ATTENTION),
    ("rnn", _WHOLE, sequences.RECURRENT),
    ("norm", _PASS, norms.NORM),
    ("reduction", _PASS, reductions.REDUCTION),
    ("reduction", _WHOLE, reductions.WHOLE_REDUCTION),
    ("reduction", _PASS, windows.POOL),
    ("gather", _PASS, windows.RESAMPLE),
    ("gather", _PASS, lookups.LOOKUP),
    ("gather", _WHOLE, lookups.WHOLE_LOOKUP),
    ("other", _PASS, reductions.SPECTRUM),
    ("elementwise", _POINTWISE, pointwise.ELEMENTWISE),
    ("copy", _COPY, pointwise.COPY),
    ("view", _VIEW, pointwise.VIEW),
    ("other", _VIEW, pointwise.ADMINISTRATION),
)

_FORMULAS: Mapping[str, tuple[CostKind, int, Formula]] = {
    name if "::" in name else f"aten::{name}": (kind, rank, formula)
    for kind, rank, table in _TABLES
    for name, formula in table.items()
}

_OPAQUE: Mapping[str, CostKind] = {
    "quantized::linear": "matmul", "quantized::linear_relu": "matmul", "quantized::linear_dynamic": "matmul",
    "quantized::linear_relu_dynamic": "matmul", "quantized::linear_dynamic_fp16": "matmul",
    "quantized::conv1d": "conv", "quantized::conv2d": "conv", "quantized::conv2d_relu": "conv",
    "onednn::qlinear_pointwise": "matmul", "quantized::conv3d": "conv", "aten::quantized_lstm": "rnn", "aten::quantized_gru": "rnn",
}  # fmt: skip
"""Ops whose packed weights have no shape in a trace: what they do is known, how much is not."""


def cost_of(signature: OpSignature) -> Cost:
    """What the op costs. Never raises, whatever the signature holds; an op without formula costs None.

    Views cost nothing. An op that may or may not copy (``aten::reshape``, ``aten::to``) is a view too: the copy
    is an op of its own within it.
    """
    name = signature.name
    kind, rank, formula = _find(name)
    if formula is None:
        return Cost(None, None, kind)
    try:
        flops, moved = formula(signature)
    except Unknown:
        return Cost(None, None, kind)
    return Cost(flops, moved, kind, rank)


def _find(name: str) -> tuple[CostKind, int, Formula | None]:
    # autograd records its side of a detach without a namespace
    full = name if name not in {"detach", "detach_"} else f"aten::{name}"
    plain = full.removesuffix("_")  # in place
    if found := _FORMULAS.get(full) or _FORMULAS.get(plain):
        return found
    return _OPAQUE.get(name, "other"), 0, None


def innermost(has_cost: NDArray[np.bool_], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that have a cost, and within them no other row that has.

    Args:
        has_cost: for each row, whether it has.
        parent: for each row, the row around it, or -1; a row comes after the one around it.
    """
    around = np.zeros(len(parent), np.bool_)
    rows = parent[has_cost]
    while len(rows := np.unique(rows[rows >= 0])):
        rows = rows[~around[rows]]
        around[rows] = True
        rows = parent[rows]
    found: NDArray[np.bool_] = has_cost & ~around
    return found


def counted(rank: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows whose costs add up to the whole, with nothing in it twice.

    Of rows of one rank within each other the innermost counts: ``aten::linear`` leaves it to ``aten::addmm``.
    A row that counts covers all of lower rank within it: ``aten::addmm`` covers the copy of its bias. A row
    around one of higher rank that counts does not count.

    Args:
        rank: for each row, the `rank` of its cost; 0 for what is no op.
        parent: for each row, the row around it, or -1; a row comes after the one around it.
    """
    chosen = np.zeros(len(rank), np.bool_)
    for level in np.unique(rank[rank > 0])[::-1]:
        open_rows = (rank == level) & ~_within(chosen, parent)
        chosen |= innermost(open_rows | chosen, parent) & open_rows
    return chosen


def _within(chosen: NDArray[np.bool_], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that lie in a chosen one, however deep: each step looks twice as far up."""
    root = len(parent)
    above = np.append(np.where(parent >= 0, parent, root), root)
    found: NDArray[np.bool_] = np.append(chosen, False)[above]
    while (above != root).any():
        found |= found[above]
        above = above[above]
    return found[:-1]
