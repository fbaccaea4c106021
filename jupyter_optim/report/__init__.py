"""The report: what was measured, as plain data."""

from jupyter_optim.report.advice import Finding, Goal, Recommendation, Severity
from jupyter_optim.report.base import Interval, Status
from jupyter_optim.report.compiled import Compiled, FusedKernel, GraphBreak
from jupyter_optim.report.gpu import Copy, GpuTime, Idle, IdleReason, Kernel, Stream
from jupyter_optim.report.history import Quality, StepRecord, Verdict
from jupyter_optim.report.latency import Flops, Latency
from jupyter_optim.report.live import (
    LIVE_VERSION,
    CellRun,
    LiveFrame,
    LiveGpu,
    LiveRequest,
    LiveSensor,
    SensorKey,
)
from jupyter_optim.report.machine import Energy, Environment, Gpu, Hardware, Peaks
from jupyter_optim.report.memory import HeldAt, Holder, HolderKind, Memory
from jupyter_optim.report.report import MIME_TYPE, SCHEMA_VERSION, Report
from jupyter_optim.report.rows import Bound, Line, LineTrace, ModuleRow, Op, Trace
from jupyter_optim.report.samples import GpuSamples, ProcessCounters, Samples, Series
from jupyter_optim.report.training import Phase, PhaseName, PhasePart, Training
from jupyter_optim.report.unseen import Unseen, Worker
from jupyter_optim.report.workload import InputSpec, Origin, OtherModel, Signature, WorkloadInfo

__all__ = [
    "LIVE_VERSION",
    "MIME_TYPE",
    "SCHEMA_VERSION",
    "Bound",
    "CellRun",
    "Compiled",
    "Copy",
    "Energy",
    "Environment",
    "Finding",
    "Flops",
    "FusedKernel",
    "Goal",
    "Gpu",
    "GpuSamples",
    "GpuTime",
    "GraphBreak",
    "Hardware",
    "HeldAt",
    "Holder",
    "HolderKind",
    "Idle",
    "IdleReason",
    "InputSpec",
    "Interval",
    "Kernel",
    "Latency",
    "Line",
    "LineTrace",
    "LiveFrame",
    "LiveGpu",
    "LiveRequest",
    "LiveSensor",
    "Memory",
    "ModuleRow",
    "Op",
    "Origin",
    "OtherModel",
    "Peaks",
    "Phase",
    "PhaseName",
    "PhasePart",
    "ProcessCounters",
    "Quality",
    "Recommendation",
    "Report",
    "Samples",
    "SensorKey",
    "Series",
    "Severity",
    "Signature",
    "Status",
    "StepRecord",
    "Stream",
    "Trace",
    "Training",
    "Unseen",
    "Verdict",
    "Worker",
    "WorkloadInfo",
]
