"""The peaks of a device, as plain data."""

from __future__ import annotations

import msgspec


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What peaks depend on: if any of it changes, they are measured anew."""

    device: str
    """``cpu`` or ``cuda``."""
    model: str
    """The CPU's model, or the GPU's name and UUID."""
    torch: str
    threads: int
    fp32_precision: str
    """How fp32 products may be computed (`torch.get_float32_matmul_precision`)."""
    version: int = 1
    """Of the way in which they are measured."""


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """What a device does at most, as measured on it."""

    key: Key
    flops: dict[str, float]
    """Operations a second of matrix products, by torch's name of the type: ``float32``, ``bfloat16``, ..., ``int8``."""
    bandwidth_bytes_per_s: float | None
    """Of memory."""
    cached_bandwidth_bytes_per_s: float | None
    """Of arrays that stay in the CPU's caches; None on a GPU."""
    overhead_us: float | None
    """Time of an op that has nothing to do, its way through Python and torch."""
    method: str
    methods: dict[str, str]
    """By figure (the types, ``memory``, ``cached memory``, ``ops``): what was timed."""
    reasons: dict[str, str]
    """By figure: why there is none."""
    took_s: float
    measured_at: str
    """Date and time, UTC, ISO 8601."""
    tries: int = 1
    """How often it was measured; the figures are the best of all."""
    reason: str | None = None
    """What limits the figures: the machine was busy, say."""
