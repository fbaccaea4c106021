"""Bytes of two reports side by side."""

from __future__ import annotations

from jupyter_optim.analysis.compare.comparison import SizeChange, SizeName
from jupyter_optim.report import Memory, Report

_NOISE: dict[SizeName, float] = {"weights": 0.001, "peak": 0.01, "activations": 0.01}


def size_changes(before: Report, after: Report) -> tuple[SizeChange, ...]:
    """Weights, peak memory and activations."""
    return tuple(_change(name, before.memory, after.memory) for name in _NOISE)


def _change(name: SizeName, before: Memory, after: Memory) -> SizeChange:
    first, last = _held(before, name), _held(after, name)
    if first is None or last is None:
        reason = (before if first is None else after).reason or "not measured in both reports"
        return SizeChange(
            name=name, before_bytes=first, after_bytes=last, ratio=None, status="unknown", reason=reason
        )
    same = abs(last - first) <= _NOISE[name] * max(first, last)
    return SizeChange(name=name, before_bytes=first, after_bytes=last, ratio=last / first if first else None,
                      status="same" if same else "smaller" if last < first else "larger")  # fmt: skip


def _held(memory: Memory, name: SizeName) -> int | None:
    value: int | None = getattr(memory, f"{name}_bytes")
    return value if memory.status != "unavailable" and (value or 0) >= 0 else None
