"""A report of a trace file: anybody's, from any machine, read as the live profile is."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

import numpy as np

from jupyter_optim.errors import InvalidReport
from jupyter_optim.profiling.ops.attribute import Attribution, attribute_calls
from jupyter_optim.profiling.trace.columns import FOREIGN_MODULE, Columns, Ints, Kind
from jupyter_optim.profiling.trace.file import DeviceProperties, TraceFile
from jupyter_optim.profiling.trace.labels import Labels, ModuleLabel
from jupyter_optim.profiling.trace.reader import columns_of
from jupyter_optim.profiling.trace.steps import steps
from jupyter_optim.profiling.training.phases import training_of
from jupyter_optim.report import (
    Energy,
    Environment,
    Flops,
    Gpu,
    Hardware,
    Latency,
    Memory,
    Report,
    Trace,
    WorkloadInfo,
)

_ELSEWHERE = "a trace does not tell"


def report_of_trace(path: str | PathLike[str]) -> Report:
    """What a trace file holds, as a report without findings.

    Raises:
        InvalidReport: it cannot be read, is broken, or is no such trace; the message says which.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidReport(f"{path.name} is a folder; give a trace file: .json or .json.gz.")
    file = TraceFile(path)
    columns = columns_of(file.batches())
    if not (columns.kind == Kind.OP).any() and not (columns.kind == Kind.DEVICE).any():
        raise InvalidReport(f"{path.name} holds no ops and no kernels: was it written by PyTorch's profiler?")
    found_steps = steps(columns)
    labels = _labels(columns)
    found = attribute_calls(columns, found_steps, labels) if len(found_steps) else _whole(columns, labels)
    on_device = bool((columns.kind == Kind.DEVICE).any())
    return Report(
        environment=_environment(file.devices()), workload=_workload(path, len(found_steps), on_device),
        latency=_latency(columns, found_steps, found),
        memory=_memory(found),
        flops=Flops(
            total=found.flops, status="unavailable" if found.flops is None else "estimated",
            method="by formulas, from the shapes in the trace",
            reason="the trace has no shapes (record_shapes=True)" if found.flops is None else None,
        ),
        energy=Energy(energy_j=None, status="unavailable", method="", reason=_ELSEWHERE),
        hardware=Hardware(cpu_percent=None, rss_bytes=None, method="", reason=_ELSEWHERE),
        trace=Trace(
            events=found.events, calls=found.calls, call_ms=found.call_ms, unattributed_ms=found.unattributed_ms,
            traced_ms=found.call_ms, source="file", method=f"the events of {path.name}",
        ),
        gpu=found.gpu, ops=found.ops, modules=found.modules, lines=(), findings=(), recommendations=(), history=(),
        training=training_of(columns, labels),
    )  # fmt: skip


def _whole(columns: Columns, labels: Labels) -> Attribution:
    outermost = np.flatnonzero((columns.parent < 0) & (columns.kind != Kind.DEVICE))
    return attribute_calls(columns, outermost, labels, span=True)


def _labels(columns: Columns) -> Labels:
    """Modules as the profiler named them, ``nn.Module: Linear_3``."""
    found: list[ModuleLabel | None] = []
    for name in columns.names:
        path = name.removeprefix(FOREIGN_MODULE)
        ours = re.fullmatch(r"(.*) \((\w+)\)", path)  # a file that --trace wrote tells path and class
        label = ModuleLabel(ours[1], ours[2]) if ours else ModuleLabel(path, re.sub(r"_\d+$", "", path))
        found.append(label if path != name else None)
    return Labels(found)


def _environment(devices: list[DeviceProperties]) -> Environment:
    gpus = tuple(
        Gpu(index=each.id, name=each.name, uuid=None, memory_bytes=each.totalGlobalMem, driver=None)
        for each in devices
    )
    return Environment(
        cpu_model=None, physical_cores=None, logical_cores=None, threads=None, interop_threads=None, isa=(),
        memory_bytes=None, gpus=gpus, gpu_reason=None if gpus else "the trace names none", os="",
        python="", torch="", libraries={},
    )  # fmt: skip


def _workload(path: Path, steps: int, on_device: bool) -> WorkloadInfo:
    return WorkloadInfo(
        model=path.name, origin="trace", expression=None, device="cuda" if on_device else "cpu", dtype=None,
        training=False, grad=False, autocast=None, batch_size=None, inputs=(), signatures=(), calls=max(1, steps),
        cell_ms=None, model_ms=None, replayed=False, reason="it is a trace file: nothing was run here",
    )  # fmt: skip


def _latency(columns: Columns, steps: Ints, found: Attribution) -> Latency:
    times = np.sort(columns.duration[steps] / 1e6) if len(steps) else np.zeros(0)
    what = (
        f"wall time of {len(times)} profiled steps"
        if len(times)
        else "wall time from the first event to the last"
    )
    median = float(np.median(times)) if len(times) else found.call_ms
    return Latency(
        median_ms=median, low_ms=None, high_ms=None, p95_ms=None, repeats=len(times), warmup_calls=0,
        throughput_per_s=1e3 / median if median else None, samples_per_s=None, status="estimated",
        method=f"{what}, the profiler's own work included", reason="the profiler slows what it records",
    )  # fmt: skip


def _memory(found: Attribution) -> Memory:
    held = None if found.peak is None else found.peak.bytes
    return Memory(
        peak_bytes=None, weights_bytes=None, activations_bytes=held, parameters=None,
        status="unavailable" if held is None else "estimated",
        method="the most that was held above what was held as the trace began",
        reason="the trace has no memory events (profile_memory=True)" if held is None else "it does not tell the weights",
        at_peak=found.peak.kinds if found.peak else (), holders=found.peak.holders if found.peak else (),
    )  # fmt: skip
