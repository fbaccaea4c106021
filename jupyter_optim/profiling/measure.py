"""From a workload to its report: clean timing first, then a short annotated trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_optim.errors import OptimError
from jupyter_optim.hardware.environment import environment
from jupyter_optim.profiling.clean import limits, metered, timed
from jupyter_optim.profiling.compiled.parts import compiled_parts
from jupyter_optim.profiling.describe import describe, flops_of, trace_info
from jupyter_optim.profiling.latency import latency_of_run
from jupyter_optim.profiling.lines.rows import no_lines
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.memory.of_model import cuda_activations, memory_of
from jupyter_optim.profiling.ops.attribute import NOTHING, attribute
from jupyter_optim.profiling.replay import Traced, first_call, traced
from jupyter_optim.profiling.source import CellRun, Source, TraceOf
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.tensorboard import trace_file
from jupyter_optim.progress import Progress
from jupyter_optim.report import Energy, Hardware, Latency, Op, Report
from jupyter_optim.workload import Workload


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
    traced: Traced
    traced_ms: float | None = None
    """Wall time of one traced call, before it was scaled."""


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
        workload, cell_trace = first_call(workload)
    workload = workload.probed()
    figures = None
    if workload.obstacle is None:
        try:
            figures = _replayed(workload, progress, source)
        except OptimError:
            raise
        except Exception as error:  # noqa: BLE001 (the user's own forward may raise anything)
            workload = workload.not_replayed(error)
    figures = figures or _of_own_run(workload, cell_trace)
    found = figures.traced
    run = CellRun(found.lines) if source.run is None else source.run()
    report = Report(
        environment=environment(), workload=describe(workload), latency=figures.latency,
        memory=memory_of(workload, found.attribution.peak, _on_device(workload)), flops=flops_of(found.attribution),
        energy=figures.energy, hardware=figures.hardware,
        trace=trace_info(workload, found.attribution, figures.traced_ms),
        ops=_with_caller(found.attribution.ops, run.lines.caller), modules=found.attribution.modules,
        lines=run.lines.rows, line_trace=run.lines.trace, training=run.training, unseen=run.unseen,
        gpu=found.attribution.gpu, compiled=found.compiled, peaks=limits(workload, progress),
        findings=(), recommendations=(), history=(), cell=source.cell,
    )  # fmt: skip
    paths = {id(module): path for path, module in workload.model.named_modules()}
    ranges = found.ranges
    inputs = {paths[id(m)]: ranges.inputs[n] for n, m in enumerate(ranges.modules) if id(m) in paths}
    return Measurement(workload, report, inputs)


def _replayed(workload: Workload, progress: Progress, source: Source) -> _Figures:
    """Call the model again: for its times first, then for a trace."""
    with workload.undisturbed(workload.model):
        latency, hardware = timed(workload, progress)
        energy = metered(workload, latency, progress)
        progress.report(f"Tracing {type(workload.model).__name__}", 0.6)
        path = source.trace_path
        file = None if path is None else trace_file(path, type(workload.model).__name__)
        found = traced(workload, latency, file, with_paths=source.with_paths)
    return _Figures(latency, hardware, energy, found.scaled(latency.median_ms), found.attribution.call_ms)


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
        Traced(attribution, ranges, no_lines(str(workload.obstacle)), compiled),
    )  # fmt: skip


def _with_caller(ops: tuple[Op, ...], caller: str | None) -> tuple[Op, ...]:
    """`ops`, where those that no line of the model's own calls belong to the line that calls the model."""
    if caller is None:
        return ops
    return tuple(op if op.line is not None else msgspec.structs.replace(op, line=caller) for op in ops)


def _on_device(workload: Workload) -> int | None:
    if workload.device.type == "cuda" and workload.obstacle is None:
        with workload.undisturbed(workload.model):
            return cuda_activations(workload)
    return None
