"""Where a workload was seen, and what was recorded there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jupyter_optim.profiling.lines.rows import LineRows
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.columns import Columns
from jupyter_optim.report import Training, Unseen

EVENT_BUDGET = 5_000
"""The recording of a cell stops at about this many events, so that a report costs the same for any cell."""


@dataclass(frozen=True, slots=True)
class CellTrace:
    """What was recorded while the cell ran."""

    columns: Columns
    ranges: ModuleRanges


TraceOf = Callable[[], CellTrace | None]
"""Reads the cell's trace, if it was recorded."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """What was learnt of the cell as a whole, while it ran."""

    lines: LineRows
    training: Training | None = None
    unseen: Unseen | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a workload was seen, and what was recorded of that run."""

    cell: str | None = None
    """The cell's text as the editor shows it."""
    trace: TraceOf | None = None
    run: Callable[[], CellRun] | None = None
    """None: the lines are those of the model's own code, as it is replayed."""
    trace_path: Path | None = None
    """Where to leave the Chrome trace, if anywhere."""
    with_paths: bool = False
    """Whether that trace keeps paths and names as the profiler wrote them."""
