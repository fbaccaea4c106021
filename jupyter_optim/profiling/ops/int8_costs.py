"""The work of int8 layers, whose packed weights have no shape in a trace: their modules know it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jupyter_optim.profiling.ops.costs import Costs
from jupyter_optim.profiling.trace.columns import Columns, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.nesting import named

_PACKED = ("quantized::linear", "quantized::conv", "onednn::qlinear")


def with_packed(work: Costs, columns: Columns, labels: Labels) -> Costs:
    """`work` with that of int8 layers."""
    packed = np.logical_or.reduce([named(columns, each) for each in _PACKED])
    rows = np.flatnonzero(packed & (columns.signature >= 0))
    if len(rows) == 0:
        return work
    flops, dtype = work.flops.copy(), work.dtype.copy()
    counted, unknown = work.counted.copy(), work.unknown.copy()
    for row, around in zip(rows, columns.innermost(Kind.MODULE)[rows], strict=True):
        label = labels.modules[columns.code[around]] if around >= 0 else None
        shapes = columns.signatures[columns.signature[row]].shapes
        if label is None or label.multiply_adds is None or not shapes:
            continue
        if not all(isinstance(n, int) for n in shapes[0]):
            continue
        flops[row] = 2 * label.multiply_adds(shapes[0])
        counted[row], unknown[row], dtype[row] = True, False, len(work.dtypes)
    return replace(
        work, flops=flops, counted=counted, unknown=unknown, dtype=dtype, dtypes=(*work.dtypes, "int8")
    )
