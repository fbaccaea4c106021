"""Figures in the words of a report: what was called, what it computed, and how that was found."""

from __future__ import annotations

from jupyter_optim.profiling.ops.attribute import Attribution
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.report import Flops, Trace, WorkloadInfo
from jupyter_optim.workload import Workload, dtype_name

_NOT_COUNTED = 0.02
"""Time in ops of unknown work that leaves the count of operations as good as whole."""
_UNCOUNTED = 0.9
"""Time in such ops that leaves next to nothing to count."""


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


def flops_of(attribution: Attribution) -> Flops:
    """The operations of a call, and how they were counted."""
    if attribution.flops is None:
        return Flops(
            total=None, status="unavailable", method="", reason="no shapes of the inputs were recorded"
        )
    unknown = 1 - attribution.counted_share
    if unknown > _UNCOUNTED or (attribution.flops == 0 and unknown >= _NOT_COUNTED):
        reason = f"ops with {unknown:.0%} of the time have no formula"
        return Flops(total=None, status="unavailable", method="", reason=reason)
    return Flops(
        total=attribution.flops, status="measured" if unknown < _NOT_COUNTED else "estimated",
        method="by formulas, from the shapes that the profiler recorded; a multiply-add is two operations",
        reason=None if unknown < _NOT_COUNTED else f"ops with {unknown:.0%} of the time have no formula",
    )  # fmt: skip


def trace_info(workload: Workload, attribution: Attribution, traced_ms: float | None) -> Trace:
    """How the rows of a report were found; `traced_ms` is the time of a traced call before it was scaled."""
    from_cell = workload.obstacle is not None
    reason = None
    if attribution.calls == 0:
        reason = Recorder.obstacle() or "the trace holds no complete call of the model"
    elif from_cell and attribution.calls < workload.calls:
        reason = f"the trace stopped after {attribution.calls} of {workload.calls} calls"
    return Trace(
        events=attribution.events, calls=attribution.calls, call_ms=attribution.call_ms,
        unattributed_ms=attribution.unattributed_ms, source="cell" if from_cell else "replay",
        traced_ms=traced_ms or attribution.call_ms,
        method=f"PyTorch profiler over {attribution.calls} calls, a range for each module call"
        + ("" if from_cell else "; times scaled to the clean timing"), reason=reason,
    )  # fmt: skip
