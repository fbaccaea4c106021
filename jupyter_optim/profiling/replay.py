"""Calls of a model under the profiler, and what their trace tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_optim import tree
from jupyter_optim.errors import InvalidInputs, OptimError
from jupyter_optim.guard import affordable, undisturbed
from jupyter_optim.profiling.compiled.parts import compiled_parts, scaled
from jupyter_optim.profiling.latency import synchronizer
from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.rows import LineRows, line_rows, name_of, no_lines
from jupyter_optim.profiling.lines.times import line_times
from jupyter_optim.profiling.lines.user_code import UserCode, cleaner
from jupyter_optim.profiling.ops.attribute import NOTHING, Attribution, attribute
from jupyter_optim.profiling.source import CellTrace, TraceOf
from jupyter_optim.profiling.trace.annotate import ModuleRanges, step_range
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.profiling.trace.steps import steps
from jupyter_optim.profiling.trace.tensorboard import trace_file
from jupyter_optim.progress import Progress
from jupyter_optim.report import Compiled, Latency
from jupyter_optim.workload import Workload

_CALLS, _SHORT_CALLS = 3, 10
_LONGEST_S = 1.0
_SHORT_S = 0.002
"""Calls shorter than this are recorded more often."""
_WARM_S = 0.1
"""Time for calls before those that are recorded."""
_WARM_CALLS = 3


@dataclass(frozen=True, slots=True)
class Traced:
    """What a trace of some calls tells of one."""

    attribution: Attribution
    ranges: ModuleRanges
    lines: LineRows
    compiled: Compiled | None = None

    def scaled(self, median_ms: float | None) -> Traced:
        """The same shares of a call of `median_ms`; an accelerator's times stay what they are."""
        call_ms, on_device = self.attribution.call_ms, self.attribution.gpu is not None
        factor = median_ms / call_ms if median_ms and call_ms and not on_device else 1.0
        return replace(
            self, attribution=self.attribution.scaled(median_ms), lines=self.lines.scaled(median_ms),
            compiled=scaled(self.compiled, factor),
        )  # fmt: skip


def traced(
    workload: Workload, latency: Latency, file: Path | None = None, *, with_paths: bool = False
) -> Traced:
    """Record a few replays with a range for each module call, and for each line of the user's.

    Args:
        workload: what is called.
        latency: how long a call takes, which says how many are recorded.
        file: where to leave the trace.
        with_paths: whether paths and names stay in that file.
    """
    ranges, code = ModuleRanges(), UserCode()
    reason = Recorder.obstacle()
    if reason is not None:
        compiled = compiled_parts(None, (), workload.model, code, missing=reason)
        return Traced(NOTHING, ranges, no_lines(reason), compiled)
    usual_s = (latency.median_ms or 0.0) / 1e3
    lines = LineRanges(code)
    recorder = record_calls(workload, calls_to_trace(usual_s), usual_s, ranges, lines)
    names = [name_of(place, code) for place in lines.lines]
    labels = Labels.of(ranges.modules, workload.model, names)
    clean = None if with_paths else cleaner().text
    columns = recorder.columns(keep=file, name_of=labels.name_of, clean=clean)
    attribution = attribute(columns, ranges.modules, workload.model, names)
    compiled = compiled_parts(columns, ranges.modules, workload.model, code)
    if lines.obstacle is not None or attribution.call_ms is None:
        reason = lines.obstacle or "the trace holds no complete call of the model"
        return Traced(attribution, ranges, no_lines(reason), compiled)
    # all of a step, not only the model's forward: an overridden `__call__`, an expression around the model
    executions = steps(columns)
    rows = line_rows(
        line_times(columns, lines.lines), code, total_ns=float(columns.duration[executions].sum()),
        executions=len(executions), estimated=False,
        method=f"a range for each line that ran, in a trace of {len(executions)} calls",
    )  # fmt: skip
    return Traced(attribution, ranges, rows, compiled)


def calls_to_trace(usual_s: float) -> int:
    """How many calls are traced of a model that takes `usual_s` for one."""
    most = _SHORT_CALLS if usual_s < _SHORT_S else _CALLS
    return max(1, min(most, int(_LONGEST_S / max(usual_s, 1e-6))))


def record_calls(
    workload: Workload, calls: int, usual_s: float, ranges: ModuleRanges, lines: LineRanges | None
) -> Recorder:
    """Record calls of a model.

    Args:
        workload: what is called.
        calls: how often.
        usual_s: how long a call takes. Short ones are made some times before: what is met for the first time, a line
            or a module, takes longer then.
        ranges: opens a range for each module call.
        lines: opens a range for each line, if given.
    """
    warm = min(_WARM_CALLS, int(_WARM_S / max(usual_s, 1e-6)))
    inputs = [workload.fresh_inputs() for _ in range(warm + calls)]
    recorder, synchronize = Recorder(memory=True, shapes=True), synchronizer(workload.device)
    direct = workload.evaluate_expression is None
    if lines is not None and direct and not lines.concerned(workload.model):
        lines = None
    ranges.tell(lines)

    def call(number: int) -> None:
        args, kwargs = inputs.pop()
        if lines is not None and direct:
            lines.rest(workload.model)
        with step_range(number), ranges.root(workload.model):
            workload.call(workload.model, args, kwargs)
            synchronize()

    with workload.mode.applied(workload.model), ranges:
        with lines or nullcontext():
            for number in range(warm):
                call(number)
        with recording(recorder), lines or nullcontext():
            for number in range(calls):
                call(number)
    return recorder


def write_trace(
    workload: Workload, latency: Latency, path: Path, progress: Progress, *, with_paths: bool = False
) -> Path:
    """Call the model some times more, and leave a trace of that, with its modules, lines and steps.

    Args:
        workload: what is called; the model is as before afterwards.
        latency: how long a call takes, which says how many are recorded.
        path: a file that ends in ``.json`` or ``.json.gz``, or a log folder of TensorBoard.
        progress: told what is done.
        with_paths: whether paths and names stay in that file.

    Returns:
        The file that was written.

    Raises:
        OptimError: the model cannot be called again, or nothing can be recorded or written now.
    """
    progress.report(f"Tracing {type(workload.model).__name__}")
    obstacle = workload.obstacle or Recorder.obstacle()
    if obstacle is not None:
        raise OptimError(f"No trace was made: {obstacle}.")
    file = trace_file(path, type(workload.model).__name__)
    with workload.undisturbed(workload.model):
        traced(workload, latency, file, with_paths=with_paths)
    return file


def first_call(workload: Workload) -> tuple[Workload, TraceOf | None]:
    """Call a model that was given with its inputs, and record that: it may be the only call there is.

    Raises:
        InvalidInputs: the model raises on these inputs.
    """
    model, (args, kwargs) = workload.model, tree.clone((workload.args, workload.kwargs))
    recorder = Recorder(memory=True) if Recorder.obstacle() is None else None
    ranges = ModuleRanges()
    with undisturbed(model, parameters=affordable(model)), workload.mode.applied(model), ranges:
        began = time.perf_counter()
        try:
            with recording(recorder), ranges.root(model):
                workload.call(model, args, kwargs)
        except Exception as error:
            raise InvalidInputs(
                f"{type(model).__name__} raises {type(error).__name__} on these inputs: {error}"
            ) from error
        took_ms = (time.perf_counter() - began) * 1e3
    workload = replace(workload, call_ms=(took_ms,))
    return workload, None if recorder is None else (lambda: CellTrace(recorder.columns(), ranges))


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """`recorder` runs meanwhile, if there is one."""
    if recorder is not None:
        recorder.start()
    try:
        yield
    finally:
        if recorder is not None:
            recorder.stop()
