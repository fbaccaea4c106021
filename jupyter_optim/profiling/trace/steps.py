"""Steps in a trace: calls of all that is measured, as PyTorch's profiler names them."""

from __future__ import annotations

import numpy as np

from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import named

STEP = "ProfilerStep#"


def steps(columns: Columns) -> Ints:
    """Rows of the steps in a trace."""
    # kineto draws each step once more in the lane of the GPU
    return np.flatnonzero(named(columns, STEP) & (columns.kind != Kind.DEVICE))
