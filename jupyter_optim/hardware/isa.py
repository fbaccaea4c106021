"""Which instruction sets of this CPU matter to matrix work."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

_OF_INTEREST = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip


@functools.cache
def isa() -> tuple[str, ...]:
    """Names as Linux spells them, in a fixed order; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ("asimd",) if platform.machine().lower() in ("arm64", "aarch64") else ()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            flags = set(value.split())
            return tuple(name for name in _OF_INTEREST if name in flags)
    return ()


def has_vnni() -> bool:
    """Whether int8 products are summed in 32 bits, so that 8-bit activations cannot overflow."""
    return bool({"avx_vnni", "avx512_vnni", "amx_int8", "asimd"} & set(isa()))


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(isa()))
