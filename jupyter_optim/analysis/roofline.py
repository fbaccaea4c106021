"""What keeps an op from being faster, and how much a remedy could gain at most.

The roofline model (Williams, Waterman and Patterson, CACM 2009): an op takes at least the time that its arithmetic
needs at the machine's peak rate, and the time that its data need at the memory's. A small op takes neither: it is
launched, and done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from jupyter_optim.report import Bound, Op, Peaks, Report

_SAME_RATE = {
    "int64": "float32", "int32": "float32", "complex64": "float32", "complex128": "float64", "uint8": "int8",
    "qint8": "int8",
}  # fmt: skip
_TF32 = "tf32"
"""What tensor cores make of float32."""
_MOST = 0.5
_FAR = 0.25
_OVERHEAD_PART = 0.5
"""An op that spends this much of its time on being launched is bound by that."""


def placed(report: Report) -> Report:
    """The report with what bounds each op, and how near it comes to the machine's peak; as it is without peaks."""
    peaks = report.peaks
    if peaks is None:
        return report
    rounded = _on_tensor_cores(report) if _TF32 in peaks.flops_per_s else frozenset()
    return replace(report, ops=tuple(_placed(op, peaks, rounded) for op in report.ops))


def _on_tensor_cores(report: Report) -> frozenset[str]:
    """The ops whose products are computed on tensor cores for most of their time."""
    spent: dict[str, float] = defaultdict(float)
    for kernel in report.gpu.kernels if report.gpu is not None else ():
        if kernel.op is not None and kernel.tensor_cores is not None:
            spent[kernel.op] += kernel.ms if kernel.tensor_cores else -kernel.ms
    return frozenset(op for op, ms in spent.items() if ms > 0)


def _placed(op: Op, peaks: Peaks, rounded: frozenset[str]) -> Op:
    arithmetic_ms, data_ms = _needed_ms(op, peaks, rounded)
    needed = max(arithmetic_ms or 0.0, data_ms or 0.0)
    if (arithmetic_ms is None and data_ms is None) or op.self_ms <= 0 or op.calls <= 0:
        return op
    launch_ms = (peaks.overhead_us or 0.0) * op.calls / 1e3
    bound: Bound | None = None
    if needed > 0 or launch_ms > 0:
        if launch_ms >= _OVERHEAD_PART * op.self_ms and launch_ms > needed:
            bound = "overhead"
        elif needed > 0:
            bound = "compute" if (arithmetic_ms or 0.0) >= (data_ms or 0.0) else "memory"
    return replace(op, bound=bound, of_peak=min(1.0, needed / op.self_ms) if needed > 0 else None)


def _needed_ms(op: Op, peaks: Peaks, rounded: frozenset[str]) -> tuple[float | None, float | None]:
    """The least time of an op's arithmetic and of its data at the machine's peaks; None for what is not known."""
    dtype = _SAME_RATE.get(op.dtype or "", op.dtype or "")
    rate = peaks.flops_per_s.get(_TF32 if dtype == "float32" and op.name in rounded else dtype)
    arithmetic = None if op.flops is None or not rate else op.flops / rate * 1e3
    data = None if op.bytes is None or not peaks.bytes_per_s else op.bytes / peaks.bytes_per_s * 1e3
    return arithmetic, data


def most_gain(ops: Iterable[Op], call_ms: float) -> float | None:
    """The speed-up of a call if these ops of it took no longer than the machine's peak allows.

    Amdahl's law with the roofline as its limit; None if their distance to the peak is not known.
    """
    known = [op for op in ops if op.of_peak is not None]
    if not known or call_ms <= 0:
        return None
    saved = sum(op.self_ms * (1 - (op.of_peak or 0.0)) for op in known)
    return call_ms / max(call_ms - saved, 1e-9)


def bound_of(ops: Iterable[Op]) -> tuple[Bound, float] | None:
    """What bounds most of the ops' time, and how near they come to the peak together; None if it is not known."""
    spent: dict[Bound, float] = {}
    near = total = 0.0
    for op in ops:
        total += op.self_ms
        near += op.self_ms * (op.of_peak or 0.0)
        if op.bound is not None:
            spent[op.bound] = spent.get(op.bound, 0.0) + op.self_ms
    if not spent or total <= 0:
        return None
    bound = max(spent, key=lambda each: spent[each])
    return (bound, near / total) if spent[bound] >= _MOST * total else None


def bound_words(bound: Bound, near: float) -> str:
    """``bound by arithmetic, at 88% of what this machine can do``."""
    if bound == "overhead":
        return "bound by the launching of many small ops"
    if near < _FAR:
        return f"far from what this machine can do ({near:.0%})"
    what = "arithmetic" if bound == "compute" else "memory"
    return f"bound by {what}, at {near:.0%} of what this machine can do"
