"""Watch a cell's own run: find the model it calls, record its first calls, and time its lines."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from torch import nn

from jupyter_optim.capture import Capture, Root
from jupyter_optim.hardware.bystanders import Bystanders
from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.rows import LineRows, line_rows, name_of, no_lines
from jupyter_optim.profiling.lines.stack_sampler import Place, StackSampler
from jupyter_optim.profiling.lines.times import LineTimes, line_times, with_samples
from jupyter_optim.profiling.lines.user_code import CellOf, UserCode
from jupyter_optim.profiling.memory.blocks import blocks_of, without_blocks
from jupyter_optim.profiling.source import EVENT_BUDGET, CellRun, CellTrace, Source
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.columns import Columns, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.profiling.training.phases import training_of
from jupyter_optim.progress import Progress
from jupyter_optim.session.session import Session
from jupyter_optim.session.start import open_session
from jupyter_optim.session.terms import Terms

_EVENTS_PER_RANGE = 10
"""Roughly how many ops a module call makes itself."""

_RECORDED_S = 1.0


class Watch:
    """``with watch(cell=text) as seen: run()``, then ``seen.session()``.

    The recording ends when it is large or long enough, and the cell goes on without it: from then on its lines are
    sampled. If no model was called by then, a second recording is made of the first calls.
    """

    def __init__(self, cell: str | None, cell_of: CellOf | None, *, lines: bool) -> None:
        self._cell = cell
        self._code = UserCode(cell_of)
        self._capture = Capture(on_call=self._after_call)
        self._ranges = ModuleRanges()
        self._lines = LineRanges(self._code, on_end=self._lines_ended) if lines else None
        self._ranges.tell(self._lines)
        self._sampler = StackSampler(self._code, ready=self._untraced) if lines else None
        self._bystanders = Bystanders()
        self._recorders: list[Recorder] = []
        self._watching_calls = False
        self._found: CellRun | None = None
        self._stack = ExitStack()
        self._began = time.perf_counter()
        self._called: float | None = None
        """When the first call of a model ended."""
        self._run_s = 0.0
        self._ours_s = 0.0
        """What of the cell's run was ours."""

    def __enter__(self) -> Self:
        # a profiler of the cell's own would get in the way of ours
        recorded = Recorder.obstacle() is None and not re.search(r"profil", self._cell or "", re.IGNORECASE)
        if "compile" in (self._cell or ""):
            # the cell would load it; loaded before, it does not compile our hooks into the cell's model
            importlib.import_module("torch._dynamo")
        with ExitStack() as stack:
            if recorded:
                self._ranges.__enter__()
                stack.callback(self._stop)
                self._watching_calls = True
                self._record()
            stack.enter_context(self._capture)
            if self._lines is not None and recorded:
                stack.enter_context(self._lines)
            if self._sampler is not None:
                stack.enter_context(self._sampler)
            stack.enter_context(self._bystanders)
            self._stack = stack.pop_all()
        self._ours_s = 0.0
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run_s = time.perf_counter() - self._began - self._ours_s
        self._stack.__exit__(kind, error, trace)
        # the capture's own clock runs while all else begins and ends
        self._capture.run_ms = self._run_s * 1e3

    def line_ended(self) -> None:
        """The line that runs has done its work: what follows belongs to none."""
        if self._lines is not None:
            self._lines.line_ended()

    def _record(self) -> None:
        self._ranges.on_open = None
        self._recorders.append(Recorder(memory=True))
        self._recorders[-1].start()

    def _stop(self) -> None:
        if self._lines is not None:
            self._lines.stop()
        if self._watching_calls:
            self._watching_calls = False
            with self._not_the_cells():
                self._recorders[-1].stop()
                self._ranges.__exit__(None, None, None)

    @contextmanager
    def _not_the_cells(self) -> Iterator[None]:
        """What is done within the cell's run, and is no work of the cell: to end a recording takes up to seconds."""
        began = time.perf_counter()
        with nullcontext() if self._sampler is None else self._sampler.paused():
            yield
        self._ours_s += time.perf_counter() - began

    def _lines_ended(self) -> None:
        """What is recorded before the first call can grow without end: go on when that begins."""
        if self._watching_calls and not self._capture.roots and not self._capture.calling:
            with self._not_the_cells():
                self._recorders[-1].stop()
            self._ranges.on_open = self._record

    def _after_call(self, root: Root) -> None:
        if not self._watching_calls:
            return
        calls = sum(len(each.times_ms) for each in self._capture.roots.values())
        ranges = calls * max(1, len(self._ranges.modules))
        # what came before the first call is not the model's: a training needs its steps
        self._called = self._called or time.perf_counter()
        if ranges * _EVENTS_PER_RANGE > EVENT_BUDGET or time.perf_counter() - self._called > _RECORDED_S:
            self._stop()

    def _untraced(self) -> bool:
        """Whether lines are not traced now; called by the sampler, in its thread."""
        if self._lines is None or not self._lines.running:
            return True
        self._lines.expired = time.perf_counter() - self._began > _RECORDED_S
        return False

    def session(
        self, model: nn.Module | None = None, terms: Terms | None = None, *, trace_path: Path | None = None,
        progress: Progress | None = None, predict: bool = True,
    ) -> Session:  # fmt: skip
        """Measure the model that was called, and open or continue its session.

        Raises:
            NoModelCalled: no module was called, or not `model`.
            OptimError: with the reason; the model is as before.
        """
        workload = self._capture.workload(model)
        root = workload.model
        source = Source(
            cell=self._cell, trace=self._trace, run=lambda: self._run_of(root), trace_path=trace_path,
            with_paths=terms is not None and terms.with_paths,
        )  # fmt: skip
        return open_session(workload, terms, source=source, progress=progress, predict=predict)

    def _trace(self) -> CellTrace | None:
        """What was recorded of the model's calls; read only where the model cannot be replayed."""
        if not self._recorders:
            return None
        return CellTrace(self._columns_of_calls, self._ranges)

    @cached_property
    def _columns(self) -> Columns:
        """The first recording: the one with the lines."""
        return without_blocks(self._recorders[0].columns(), blocks_of(self._capture.copies()))

    @cached_property
    def _columns_of_calls(self) -> Columns:
        """The last recording: the one with the model's calls."""
        if len(self._recorders) == 1:
            return self._columns
        return without_blocks(self._recorders[-1].columns(), blocks_of(self._capture.copies()))

    def _run_of(self, root: nn.Module) -> CellRun:
        """What stays that of the cell's own run, whatever is changed later."""
        if self._found is None:
            training = (
                training_of(self._columns_of_calls, self._labels(root), root)
                if self._recorders and self._capture.workload(root).trains
                else None
            )
            self._found = CellRun(self._line_rows(root), training, self._bystanders.unseen)
        return self._found

    def _labels(self, root: nn.Module) -> Labels:
        lines = self._lines.lines if self._lines is not None else []
        return Labels.of(self._ranges.modules, root, [name_of(place, self._code) for place in lines])

    def _line_rows(self, root: nn.Module) -> LineRows:
        if self._lines is None or self._sampler is None:
            return no_lines("--no-lines was given")
        traced = bool(self._recorders) and self._lines.obstacle is None
        times, caller = LineTimes(), None
        if traced:
            times = line_times(self._columns, self._lines.lines)
            caller = _caller(self._columns, self._lines.lines, self._ranges, root)
        if self._sampler.samples:
            times = with_samples(times, self._sampler)
        total_ns = self._run_s * 1e9
        sampled = f"{self._sampler.samples} samples of the stack"
        method = "a range for each line that ran, in a trace of the cell's own run"
        if not traced:
            method = f"{sampled} during the cell's own run"
        elif self._sampler.samples:
            method += f"; {sampled} after its first {(total_ns - self._sampler.total_ns) / 1e9:.2g} s"
        reason = self._lines.obstacle if self._recorders else "the cell has a profiler of its own"
        return line_rows(
            times, self._code, total_ns=total_ns, estimated=self._sampler.samples > 0, method=method, reason=reason,
            caller=caller,
        )  # fmt: skip


def watch(*, cell: str | None = None, cell_of: CellOf | None = None, lines: bool = True) -> Watch:
    """A context manager around a cell's own run.

    Args:
        cell: the cell's text as the editor shows it.
        cell_of: says which cell was compiled under a file name.
        lines: whether to attribute time to lines.
    """
    return Watch(cell, cell_of, lines=lines)


def _caller(columns: Columns, lines: list[Place], ranges: ModuleRanges, root: nn.Module) -> Place | None:
    """The line that most of the time of the model's calls lies in."""
    number = next((n for n, module in enumerate(ranges.modules) if module is root), -1)
    rows = np.flatnonzero((columns.kind == Kind.MODULE) & (columns.code == number))
    around = columns.innermost(Kind.LINE)[rows]
    rows, around = rows[around >= 0], around[around >= 0]
    if len(rows) == 0:
        return None
    spent = np.bincount(columns.code[around], columns.duration[rows])
    return lines[int(spent.argmax())]
