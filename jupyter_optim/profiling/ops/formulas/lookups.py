"""Work of what reads and writes at given places: no operations, save where it adds up.

A row that is asked for twice is read twice. Where the places are not in a trace (``aten::index``), or how many
there are (``nonzero``, ``masked_select``), there is no formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from jupyter_optim.profiling.ops.formulas.signature import (
    Formula,
    OpSignature,
    Unknown,
    Work,
    each_of,
    moved,
    read,
)


def embedding(op: OpSignature) -> Work:
    """``embedding(table, index)``: the rows that are asked for are read and written."""
    rows = ((*op.shape(1), *op.shape(0)[1:]), op.type(0))
    return 0, moved([*read(op, 1), rows, rows])


def embedding_backward(op: OpSignature) -> Work:
    """``embedding_dense_backward(grad, index, rows)``: gradients are added up in a table."""
    grad, rows = op.shape(0), op.integer(2)
    if not grad or rows < 0:
        raise Unknown
    return prod(grad), moved([*read(op, 0, 1), ((rows, grad[-1]), op.type(0))])


def embedding_bag(op: OpSignature) -> Work:
    """``_embedding_bag(table, index, offsets, _, mode, _, weights, last)``: rows are added up, bag by bag."""
    table, index, offsets = op.shape(0), op.shape(1), op.shape(2)
    if (len(table), len(index), len(offsets)) != (2, 1, 1):
        raise Unknown
    bags = max(0, offsets[0] - (op.text(7) == "True"))
    weighted, mean = op.is_tensor(6), op.integer(4) == 1
    rows, out = ((index[0], table[1]), op.type(0)), ((bags, table[1]), op.type(0))
    flops = table[1] * (index[0] * (1 + weighted) + bags * mean)
    return flops, moved([rows, *read(op, 1, 2, 6), out])


def index_select(op: OpSignature) -> Work:
    """``index_select(x, dim, index)``."""
    shape, axis = op.shape(0), op.integer(1)
    if not -len(shape) <= axis < len(shape):
        raise Unknown
    axis %= len(shape)
    out = ((*shape[:axis], prod(op.shape(2)), *shape[axis + 1 :]), op.type(0))
    return 0, moved([*read(op, 2), out, out])


def pick(index: int) -> Formula:
    """The output has the shape of the index, which is the input at that place."""

    def work(op: OpSignature) -> Work:
        out = (op.shape(index), op.type(0))
        if not op.is_tensor(0):
            raise Unknown
        return 0, moved([*read(op, index), out, out])

    return work


def put(*, adds: bool, shaped_by: int) -> Formula:
    """``scatter_(x, dim, index, source)``: elements are put to places, or added to what is there.

    Args:
        adds: whether they are added.
        shaped_by: the place of the input that has the shape of what is put.
    """

    def work(op: OpSignature) -> Work:
        target = (op.shape(shaped_by), op.type(0))
        source = [(target[0], op.type(3))] if op.is_tensor(3) else []
        whole = [] if op.in_place else read(op, 0) * 2  # out of place, all else is copied
        return adds * prod(target[0]), moved([*read(op, 2), *source, *[target] * (1 + adds), *whole])

    return work


LOOKUP: Mapping[str, Formula] = {
    "embedding": embedding,
    "embedding_dense_backward": embedding_backward,
    "index_select": index_select,
    "gather": pick(2),
    "take": pick(1),
    "scatter": put(adds=False, shaped_by=2),
    "scatter_add": put(adds=True, shaped_by=2),
    "index_add": put(adds=True, shaped_by=3),
    "index_copy": put(adds=False, shaped_by=3),
}

WHOLE_LOOKUP: Mapping[str, Formula] = {
    # what lies within these prepares offsets
    **each_of("_embedding_bag _embedding_bag_forward_only", embedding_bag),
}
