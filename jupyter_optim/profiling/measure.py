"""From a workload to its report: clean timing first, then a short annotated trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import psutil

from jupyter_optim import tree
from jupyter_optim.errors import InvalidInputs, OptimError
from jupyter_optim.guard import affordable, undisturbed
from jupyter_optim.hardware.energy import energy_of
from jupyter_optim.hardware.environment import environment
from jupyter_optim.hardware.match import watched
from jupyter_optim.hardware.peaks import peaks
from jupyter_optim.hardware.sampler import Sampler
from jupyter_optim.profiling.annotate import ModuleRanges, step_range
from jupyter_optim.profiling.attribute import NOTHING, Attribution, attribute
from jupyter_optim.profiling.compiled import compiled_parts, scaled
from jupyter_optim.profiling.labels import Labels
from jupyter_optim.profiling.latency import Budget, latency_of, latency_of_run, synchronizer, time_calls
from jupyter_optim.profiling.line_rows import LineRows, line_rows, name_of, no_lines
from jupyter_optim.profiling.line_times import line_times
from jupyter_optim.profiling.lines import LineRanges
from jupyter_optim.profiling.memory import cuda_activations, memory_of
from jupyter_optim.profiling.record import Recorder
from jupyter_optim.profiling.tensorboard import trace_file
from jupyter_optim.profiling.trace import Columns
from jupyter_optim.profiling.user_code import UserCode
from jupyter_optim.progress import Progress
from jupyter_optim.report import (
    Compiled,
    Energy,
    Flops,
    Hardware,
    Latency,
    Op,
    Peaks,
    Report,
    Trace,
    Training,
    Unseen,
    WorkloadInfo,
)
from jupyter_optim.workload import Workload, dtype_name

EVENT_BUDGET = 5_000
"""The recording of a cell stops at about this many events, so that a report costs the same for any cell."""

_TRACE_CALLS = 3
_TRACE_S = 0.3
_METERED_MS = 100.0
"""Calls between two looks at the clock while energy is metered."""

_NOT_COUNTED = 0.02
"""Time in ops of unknown work that leaves the count of operations as good as whole."""


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


@dataclass(frozen=True, slots=True)
class Measurement:
    """A report, and what it was made from that a technique may need."""

    workload: Workload
    report: Report
    inputs: dict[str, tuple[Any, ...]]
    """By module path: shapes of the positional inputs of its first call."""


@dataclass(frozen=True, slots=True)
class _Figures:
    latency: Latency
    hardware: Hardware
    energy: Energy
    attribution: Attribution
    ranges: ModuleRanges
    lines: LineRows
    traced_ms: float | None = None
    """Wall time of one traced call, before it was scaled."""
    compiled: Compiled | None = None


def measure(workload: Workload, progress: Progress, source: Source | None = None) -> Measurement:
    """Measure a workload.

    The model is as before afterwards, whatever happens.

    Raises:
        InvalidInputs: given to `jupyter_optim.optimize`, the model raises on these inputs.
        Cancelled: the user said so.
    """
    progress.report(f"Measuring {type(workload.model).__name__}", 0.0)
    source = source or Source()
    cell_trace = source.trace
    if workload.origin == "call":
        workload, cell_trace = _first_call(workload)
    workload = workload.probed()
    figures = None
    if workload.obstacle is None:
        try:
            figures = _replayed(workload, progress, source.trace_path)
        except OptimError:
            raise
        except Exception as error:  # noqa: BLE001 (the user's own forward may raise anything)
            workload = workload.not_replayed(error)
    figures = figures or _of_own_run(workload, cell_trace)
    run = CellRun(figures.lines) if source.run is None else source.run()
    limits = _limits(workload, progress)
    report = Report(
        environment=environment(), workload=describe(workload), latency=figures.latency,
        memory=memory_of(workload, figures.attribution.peak, _on_device(workload)),
        flops=_flops(figures.attribution),
        energy=figures.energy, gpu=figures.attribution.gpu, compiled=figures.compiled,
        hardware=figures.hardware, trace=_trace_info(workload, figures),
        ops=_with_caller(figures.attribution.ops, run.lines.caller), modules=figures.attribution.modules, lines=run.lines.rows,
        line_trace=run.lines.trace, training=run.training, unseen=run.unseen, peaks=limits, findings=(), recommendations=(), history=(), cell=source.cell,
    )  # fmt: skip
    paths = {id(module): path for path, module in workload.model.named_modules()}
    seen = figures.ranges
    inputs = {paths[id(m)]: seen.inputs[n] for n, m in enumerate(seen.modules) if id(m) in paths}
    return Measurement(workload, report, inputs)


def _replayed(workload: Workload, progress: Progress, trace_path: Path | None) -> _Figures:
    """Call the model again: for its times first, then for a trace."""
    with workload.undisturbed(workload.model):
        latency, hardware = _clean(workload, progress)
        energy = _metered(workload, latency, progress)
        progress.report(f"Tracing {type(workload.model).__name__}", 0.6)
        file = None if trace_path is None else trace_file(trace_path, type(workload.model).__name__)
        attribution, ranges, lines, compiled = _traced(workload, latency, file)
    traced_ms, median_ms = attribution.call_ms, latency.median_ms
    return _Figures(
        latency, hardware, energy, attribution.scaled(median_ms), ranges, lines.scaled(median_ms), traced_ms,
        scaled(compiled, median_ms / traced_ms if median_ms and traced_ms and attribution.gpu is None else 1.0),
    )  # fmt: skip


def write_trace(workload: Workload, latency: Latency, path: Path, progress: Progress) -> Path:
    """Call the model some times more, and leave a trace of that, with its modules, lines and steps.

    Args:
        workload: what is called; the model is as before afterwards.
        latency: how long a call takes, which says how many are recorded.
        path: a file that ends in ``.json`` or ``.json.gz``, or a log folder of TensorBoard.
        progress: told what is done.

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
        _traced(workload, latency, file)
    return file


def _of_own_run(workload: Workload, cell_trace: TraceOf | None) -> _Figures:
    """What is known of a model that cannot be called again."""
    recorded = cell_trace() if cell_trace is not None else None
    ranges = recorded.ranges if recorded is not None else ModuleRanges()
    attribution, columns = NOTHING, None
    if recorded is not None:
        columns = recorded.columns
        attribution = attribute(columns, ranges.modules, workload.model)
    compiled = compiled_parts(columns, ranges.modules, workload.model, UserCode(), missing=workload.obstacle)
    return _Figures(
        latency_of_run(workload.call_ms, workload.batch_size, str(workload.obstacle)),
        Hardware(cpu_percent=None, rss_bytes=None, method="not sampled", reason=workload.obstacle),
        Energy(energy_j=None, status="unavailable", method="", reason=workload.obstacle),
        attribution, ranges, no_lines(str(workload.obstacle)), compiled=compiled,
    )  # fmt: skip


def _flops(attribution: Attribution) -> Flops:
    if attribution.flops is None:
        return Flops(
            total=None, status="unavailable", method="", reason="no shapes of the inputs were recorded"
        )
    unknown = 1 - attribution.counted_share
    return Flops(
        total=attribution.flops, status="measured" if unknown < _NOT_COUNTED else "estimated",
        method="by formulas, from the shapes that the profiler recorded; a multiply-add is two operations",
        reason=None if unknown < _NOT_COUNTED else f"ops with {unknown:.0%} of the time have no formula",
    )  # fmt: skip


def _limits(workload: Workload, progress: Progress) -> Peaks | None:
    """The peaks of the device that the model is on; measured when they are first asked for."""
    device = workload.device
    if device.type not in ("cpu", "cuda"):
        return None
    dtypes = {dtype_name(parameter.dtype) for parameter in workload.model.parameters()}
    found = peaks(device, dtypes=dtypes, progress=progress)
    return Peaks(
        device=str(device), flops_per_s=dict(found.flops),
        bytes_per_s=found.bandwidth_bytes_per_s, overhead_us=found.overhead_us,
        threads=found.key.threads if device.type == "cpu" else None,
        method=f"{found.method}, {found.measured_at[:10]}", reason=found.reason,
    )  # fmt: skip


def _with_caller(ops: tuple[Op, ...], caller: str | None) -> tuple[Op, ...]:
    """`ops`, where those that no line of the model's own calls belong to the line that calls the model."""
    if caller is None:
        return ops
    return tuple(op if op.line is not None else msgspec.structs.replace(op, line=caller) for op in ops)


def _first_call(workload: Workload) -> tuple[Workload, TraceOf | None]:
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


def _clean(workload: Workload, progress: Progress) -> tuple[Latency, Hardware]:
    """Time the calls, and watch the machine meanwhile."""
    with Sampler(gpus=watched(workload.device)) as sampler:
        timing = time_calls(workload, progress, Budget())
    seen = sampler.stop()
    return latency_of(timing, workload.batch_size), Hardware(
        cpu_percent=seen.process_cpu.mean, rss_bytes=psutil.Process().memory_info().rss,
        method=seen.method,
        reason=seen.process_cpu.reason or seen.reason, samples=seen, calls=len(timing.samples_ms) + timing.warmup_calls,
    )  # fmt: skip


def _metered(workload: Workload, latency: Latency, progress: Progress) -> Energy:
    """Call the model for a second more where energy can be metered; else the reason, and no call."""
    synchronize, calls = (
        synchronizer(workload.device),
        max(1, int(_METERED_MS / max(latency.median_ms or 0.0, 1e-3))),
    )

    def block() -> int:
        for _ in range(calls):
            args, kwargs = workload.fresh_inputs()
            workload.call(workload.model, args, kwargs)
        synchronize()
        return calls

    with workload.mode.applied(workload.model):
        found = energy_of(block, workload.device, progress=progress)
    return Energy(**msgspec.structs.asdict(found))


def _traced(
    workload: Workload, latency: Latency, file: Path | None
) -> tuple[Attribution, ModuleRanges, LineRows, Compiled | None]:
    """Record a few replays with a range for each module call, and for each line of the user's."""
    ranges, code = ModuleRanges(), UserCode()
    reason = Recorder.obstacle()
    if reason is not None:
        compiled = compiled_parts(None, (), workload.model, code, missing=reason)
        return NOTHING, ranges, no_lines(reason), compiled
    usual_s = (latency.median_ms or 0.0) / 1e3
    calls = max(1, min(_TRACE_CALLS, int(_TRACE_S / max(usual_s, 1e-6))))
    inputs = [workload.fresh_inputs() for _ in range(calls)]
    recorder, lines = Recorder(memory=True, shapes=True), LineRanges(code)
    with workload.mode.applied(workload.model), ranges, recording(recorder), lines:
        for number, (args, kwargs) in enumerate(inputs):
            with step_range(number), ranges.root(workload.model):
                workload.call(workload.model, args, kwargs)
    names = [name_of(place, code) for place in lines.lines]
    labels = Labels.of(ranges.modules, workload.model, names)
    columns = recorder.columns(keep=file, name_of=labels.name_of)
    attribution = attribute(columns, ranges.modules, workload.model, names)
    compiled = compiled_parts(columns, ranges.modules, workload.model, code)
    if lines.obstacle is not None or attribution.call_ms is None:
        return (
            attribution,
            ranges,
            no_lines(lines.obstacle or "the trace holds no complete call of the model"),
            compiled,
        )
    rows = line_rows(
        line_times(columns, lines.lines), code, total_ns=attribution.call_ms * attribution.calls * 1e6,
        executions=attribution.calls, estimated=False,
        method=f"a range for each line that ran, in a trace of {attribution.calls} calls",
    )  # fmt: skip
    return attribution, ranges, rows, compiled


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


def _on_device(workload: Workload) -> int | None:
    if workload.device.type == "cuda" and workload.obstacle is None:
        with workload.undisturbed(workload.model):
            return cuda_activations(workload)
    return None


def _trace_info(workload: Workload, figures: _Figures) -> Trace:
    attribution = figures.attribution
    from_cell = workload.obstacle is not None
    reason = None
    if attribution.calls == 0:
        reason = Recorder.obstacle() or "the trace holds no complete call of the model"
    elif from_cell and attribution.calls < workload.calls:
        reason = f"the trace stopped after {attribution.calls} of {workload.calls} calls"
    return Trace(
        events=attribution.events, calls=attribution.calls, call_ms=attribution.call_ms,
        unattributed_ms=attribution.unattributed_ms, source="cell" if from_cell else "replay",
        traced_ms=figures.traced_ms or attribution.call_ms,
        method=f"PyTorch profiler over {attribution.calls} calls, a range for each module call"
        + ("" if from_cell else "; times scaled to the clean timing"), reason=reason,
    )  # fmt: skip


def describe(workload: Workload) -> WorkloadInfo:
    """What the report says of a workload."""
    mode = workload.mode
    dtypes = {p.dtype for p in workload.model.parameters() if p.is_floating_point() or p.is_complex()}
    return WorkloadInfo(
        model=type(workload.model).__name__, origin=workload.origin, expression=workload.expression,
        device=str(workload.device), dtype=", ".join(sorted(map(dtype_name, dtypes))) or None,
        training=bool(mode.training[0]) if mode.training else workload.model.training,
        grad=mode.grad and not mode.inference,
        autocast=", ".join(f"{device} {dtype_name(dtype)}" for device, dtype in mode.autocast.items()) or None,
        batch_size=workload.batch_size, inputs=workload.inputs, signatures=workload.signatures,
        calls=workload.calls, cell_ms=workload.cell_ms, model_ms=sum(workload.call_ms) if workload.cell_ms is not None else None,
        others=workload.others, trains=workload.trains, replayed=workload.obstacle is None, reason=workload.obstacle,
    )  # fmt: skip
