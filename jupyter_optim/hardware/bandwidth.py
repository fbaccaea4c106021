"""How fast a device reads and writes its memory, as STREAM counts it (McCalpin, 1995): bytes that the code names."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from jupyter_optim.hardware.race import Race, Rate, synchronizer
from jupyter_optim.progress import Progress

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_ROUND_S = 0.06
_CHUNK_BYTES = 16 * 2**20
_LEAST_BYTES, _MOST_BYTES = 128 * 2**20, 2 * 2**30
_GPU_BYTES = 2**30
_CACHED_BYTES = 2**20
"""For each thread: within the second-level cache of most CPUs of today."""


def bandwidth(buffer: torch.Tensor, progress: Progress) -> Rate:
    """The fastest of copy, triad and read of `buffer`, in bytes a second."""
    device = buffer.device
    race = Race(synchronizer(device), progress, _ROUND_S)
    halves, thirds = buffer.chunk(2), buffer[: buffer.numel() // 3 * 3].chunk(3)
    total = torch.empty((), dtype=buffer.dtype, device=device)
    ways: dict[str, tuple[Callable[[], object], tuple[torch.Tensor, ...]]] = {
        "copy": (lambda: halves[0].copy_(halves[1]), halves),
        "triad": (lambda: torch.add(thirds[1], thirds[2], alpha=1e-9, out=thirds[0]), thirds),
        "read": (lambda: torch.sum(buffer, dim=0, out=total), (buffer,)),
    }
    size = buffer.numel() * buffer.element_size()
    rates = [
        Rate(sum(each.numel() for each in arrays) * buffer.element_size() / race.best_s(work),
             f"{name} within {size / 1e6:,.0f} MB{_doubt(device, size)}")
        for name, (work, arrays) in ways.items()
    ]  # fmt: skip
    return max(rates, key=lambda rate: rate.per_s)


def within_caches(buffer: torch.Tensor) -> torch.Tensor:
    """A part of `buffer` that stays in the caches of the CPU's cores."""
    return buffer[: torch.get_num_threads() * _CACHED_BYTES // buffer.element_size()]


def _doubt(device: torch.device, size: int) -> str:
    last = cache_bytes() if device.type == "cpu" else None
    # a small buffer is meant to stay in the cache
    if last is None or size >= 2 * last or size < _LEAST_BYTES // 2:
        return ""
    return f" (this machine shows a cache of {last / 1e6:,.0f} MB: part of it may be the cache's)"


def memory_to_measure(device: torch.device, progress: Progress, fill_s: float) -> torch.Tensor | None:
    """Memory that was written to once, as much as is useful, to be had, and to be had in some `fill_s`."""
    wanted = _GPU_BYTES
    if device.type == "cpu":
        wanted = min(_MOST_BYTES, max(_LEAST_BYTES, 4 * (cache_bytes() or 0)), _free_bytes() // 8)
    elif device.type == "cuda":
        wanted = min(wanted, torch.cuda.mem_get_info(device)[0] // 4)
    if wanted < _CHUNK_BYTES:
        return None
    buffer = torch.empty(wanted // 4, dtype=torch.float32, device=device)
    filled, deadline = 0, time.perf_counter() + fill_s
    for chunk in buffer.split(_CHUNK_BYTES // 4):
        progress.check()
        chunk.fill_(1.0)
        filled += chunk.numel()
        if time.perf_counter() > deadline:
            break
    return buffer[:filled]


def _free_bytes() -> int:
    available: int = psutil.virtual_memory().available
    return available


def cache_bytes(root: Path = _CACHES) -> int | None:
    """Size of the largest cache, where the system tells."""
    sizes = []
    for path in root.glob("index*/size"):
        try:
            sizes.append(_bytes(path.read_text().strip()))
        except (OSError, ValueError):
            continue
    return max(sizes, default=None)


def _bytes(text: str) -> int:
    """``491520K`` and the like."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * factor
