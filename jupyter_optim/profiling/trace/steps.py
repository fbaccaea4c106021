"""Steps in a trace: calls of all that is measured, as PyTorch's profiler names them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.nesting import named

STEP = "ProfilerStep#"

# The fast range costs 0.4 us against 6.5 us of `record_function`; private, hence the fall-back.
_Range: Any = getattr(torch._C._profiler, "_RecordFunctionFast", torch.profiler.record_function)


def step_range(number: int) -> AbstractContextManager[Any]:
    """A range around one call of all that is measured, which others take for a step of the profiler's."""
    found: AbstractContextManager[Any] = _Range(f"{STEP}{number}")
    return found


def steps(columns: Columns) -> Ints:
    """Rows of the steps in a trace."""
    # kineto draws each step once more in the lane of the GPU
    return np.flatnonzero(named(columns, STEP) & (columns.kind != Kind.DEVICE))
