"""Watch a cell's own run: find the model it calls, and record its first calls."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import nn

from jupyter_optim.capture import Capture, Root
from jupyter_optim.profiling.annotate import ModuleRanges
from jupyter_optim.profiling.measure import EVENT_BUDGET, CellTrace
from jupyter_optim.profiling.record import Recorder
from jupyter_optim.progress import Progress
from jupyter_optim.quality import Evaluate
from jupyter_optim.session.session import Session
from jupyter_optim.session.start import open_session

_EVENTS_PER_RANGE = 10
"""Roughly how many ops a module call makes itself."""

_RECORDED_S = 1.0


class Watch:
    """``with watch(cell=text) as seen: run()``, then ``seen.session()``.

    The recording ends when it is large or long enough, and the cell goes on without it.
    """

    def __init__(self, cell: str | None) -> None:
        self._cell = cell
        self._capture = Capture(on_call=self._after_call)
        self._ranges = ModuleRanges()
        self._recorder: Recorder | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        # a profiler of the cell's own would get in the way of ours
        if Recorder.obstacle() is None and not re.search(r"profil", self._cell or "", re.IGNORECASE):
            self._recorder = Recorder(memory=True)
            self._ranges.__enter__()
            self._recorder.start()
        self._capture.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.__exit__(kind, error, trace)
        self._stop()

    def _after_call(self, root: Root) -> None:
        ranges = sum(len(each.times_ms) for each in self._capture.roots.values()) * max(
            1, len(self._ranges.modules)
        )
        if ranges * _EVENTS_PER_RANGE > EVENT_BUDGET or time.perf_counter() - self._began > _RECORDED_S:
            self._stop()

    def _stop(self) -> None:
        if self._recorder is not None and self._recorder.running:
            self._recorder.stop()
            self._ranges.__exit__(None, None, None)

    def session(
        self, model: nn.Module | None = None, *, evaluate: Evaluate | None = None,
        max_drop: float | str | None = None, goal: str | None = None, trace_path: Path | None = None,
        progress: Progress | None = None,
    ) -> Session:  # fmt: skip
        """Measure the model that was called, and open or continue its session.

        Raises:
            NoModelCalled: no module was called, or not `model`.
            OptimError: with the reason; the model is as before.
        """
        workload = self._capture.workload(model)
        return open_session(
            workload, evaluate=evaluate, max_drop=max_drop, goal=goal, cell=self._cell, cell_trace=self._trace,
            trace_path=trace_path, progress=progress,
        )  # fmt: skip

    def _trace(self) -> CellTrace | None:
        """What was recorded; read only where the model cannot be replayed."""
        if self._recorder is None:
            return None
        return CellTrace(self._recorder.columns(), self._ranges)


def watch(
    *, cell: str | None = None, source: str = "this cell", filename: str | None = None, lines: bool = True
) -> Watch:  # fmt: skip
    """A context manager around a cell's own run.

    Args:
        cell: the cell's text as the editor shows it.
        source: what lines of this text are called in the report.
        filename: under which the text was compiled.
        lines: whether to attribute time to lines.
    """
    del source, filename, lines  # lines are not attributed yet
    return Watch(cell)
