"""What this machine can do at most: matrix products by type, memory bandwidth, the cost of one op.

Measured, not looked up: once for each device, torch version and thread count, in a few seconds; then kept in the
user's cache directory. These are the roofs of a roofline (Williams, Waterman, Patterson, CACM 52(4), 2009).

Everything is timed in two passes or more, until the figures settle, and the best counts: a neighbour on the machine
can cost a factor of ten (seen), and its bursts last longer than one timing.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from jupyter_optim.hardware import peak_cache
from jupyter_optim.hardware.bandwidth import bandwidth, memory_to_measure, within_caches
from jupyter_optim.hardware.environment import cpu_model
from jupyter_optim.hardware.matmul import FLOAT_TYPES, INT8, TF32, Matmul, contests
from jupyter_optim.hardware.peak_data import Key, Peaks
from jupyter_optim.hardware.race import Race, Rate, synchronizer
from jupyter_optim.progress import Progress

_PASSES = 2
_LONG_S = 5.0
"""No pass begins after this, however busy the machine is."""

_FILL_S, _QUICK_FILL_S = 0.8, 0.25
"""Memory is taken for at most so long: on some virtual machines fresh pages come at 300 MB/s."""

_BETTER = 0.1
"""A figure that a pass betters by more than this part has not settled."""

_TYPES = {"cpu": (*FLOAT_TYPES, INT8), "cuda": (*FLOAT_TYPES, TF32, INT8)}
_ALTERNATIVES = ("bfloat16", TF32, INT8)
_TRIES = 3
"""Peaks of a busy machine are measured again by the next processes, up to so often."""

_OVERHEAD_OPS = 2_000
_DISTURBED = 0.15
"""Other programs' use of the cores that spoils a pass, as part of all cores."""


def peaks(
    device: torch.device | str = "cpu", *, dtypes: Collection[str] | None = None, recalibrate: bool = False,
    progress: Progress | None = None,
) -> Peaks:  # fmt: skip
    """The peaks of `device` at the present thread count: from the cache, or measured now, which takes seconds.

    Args:
        device: a CPU or CUDA device.
        dtypes: element types that matter now, ``float32`` say. Then one quick pass is made of these and of those that
            a model may be changed to, and the next processes add to it. None: all types, until they have settled.
        recalibrate: measure anew also if they are known, and forget the old figures.
        progress: hears what is being measured, and *Cancel*.

    Raises:
        Cancelled: the user said so; nothing is kept then.
    """
    device = torch.device(device)
    key = key_of(device)
    kept = None
    if not recalibrate:
        if key in _remembered():
            return _remembered()[key]
        kept = peak_cache.load(key)
    wanted = None if dtypes is None else {*dtypes, *_ALTERNATIVES} & {*_TYPES[device.type]}
    if (
        kept is None
        or (kept.reason is not None and kept.tries < _TRIES)
        or (wanted is not None and not wanted <= {*kept.flops, *kept.reasons})
    ):
        kept = measure(key, device, progress or Progress(), kept, wanted)
        peak_cache.save(kept)
    _remembered()[key] = kept
    return kept


def key_of(device: torch.device) -> Key:
    """What the peaks of `device` depend on."""
    name = cpu_model() or "unknown CPU"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name} {getattr(properties, 'uuid', '')}".strip()
    return Key(
        device=device.type, model=name, torch=str(torch.__version__), threads=torch.get_num_threads(),
        fp32_precision=_fp32_precision(),
    )  # fmt: skip


def measure(
    key: Key,
    device: torch.device,
    progress: Progress,
    before: Peaks | None = None,
    dtypes: set[str] | None = None,
) -> Peaks:
    """Measure the peaks of `device` now; the better of each figure counts where there are some from `before`.

    Given `dtypes`, these only, and in one pass.
    """
    began_s, best, passes = time.perf_counter(), _Best(before), 0
    trouble: str | None = None
    with _plain_mode(device):
        progress.report("Measuring this machine's memory", None)
        fill_s = _FILL_S if dtypes is None else _QUICK_FILL_S
        buffer, products = memory_to_measure(device, progress, fill_s), contests(device)
        if dtypes is not None:
            products = {name: ways for name, ways in products.items() if name in dtypes}
        least, longest_s = (_PASSES, _LONG_S) if dtypes is None else (1, 0.0)
        while passes < least or (trouble and time.perf_counter() - began_s < longest_s):
            others = _others()
            best.settled = passes > 0
            _one_pass(best, device, products, buffer, progress)
            # one pass cannot tell whether it has settled
            unsettled = dtypes is None and not best.settled
            trouble = others() or ("the figures had not settled" if unsettled else None)
            passes += 1
    return Peaks(
        key=key, flops={name: best.rates[name].per_s for name in _TYPES[device.type] if name in best.rates},
        bandwidth_bytes_per_s=best.per_s("memory"), cached_bandwidth_bytes_per_s=best.per_s("cached memory"),
        overhead_us=1e6 / best.rates["ops"].per_s if "ops" in best.rates else None,
        method=("one quick pass" if passes == 1 else f"the best of {passes} passes of several rounds") + (
            f", {key.threads} threads" if key.device == "cpu" else ""),
        methods={name: rate.method for name, rate in best.rates.items()},
        reasons={name: why for name, why in best.reasons.items() if name not in best.rates},
        took_s=time.perf_counter() - began_s, tries=1 + (before.tries if before is not None else 0),
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        reason=None if trouble is None else f"{trouble}: peaks(recalibrate=True) measures again",
    )  # fmt: skip


class _Best:
    """The best of each figure so far."""

    def __init__(self, before: Peaks | None) -> None:
        self.rates: dict[str, Rate] = {}
        self.reasons: dict[str, str] = {}
        self.settled = False
        """Set it before a pass: a figure that is bettered by much clears it."""
        if before is None:
            return
        old = {**before.flops, "memory": before.bandwidth_bytes_per_s,
               "cached memory": before.cached_bandwidth_bytes_per_s,
               "ops": 1e6 / before.overhead_us if before.overhead_us else None}  # fmt: skip
        for name, per_s in old.items():
            if per_s is not None:
                self.keep(name, Rate(per_s, before.methods.get(name, "an earlier measurement")))

    def keep(self, name: str, rate: Rate | str) -> None:
        """Take `rate` if it is the best; a text says why there is none."""
        if isinstance(rate, str):
            self.reasons[name] = rate
            return
        known = self.per_s(name) or 0.0
        if rate.per_s > known:
            self.rates[name] = rate
            self.settled = self.settled and rate.per_s <= known * (1 + _BETTER)

    def per_s(self, name: str) -> float | None:
        """The figure, or None."""
        return self.rates[name].per_s if name in self.rates else None


def _one_pass(
    best: _Best, device: torch.device, products: dict[str, tuple[Matmul, ...]], buffer: torch.Tensor | None,
    progress: Progress,
) -> None:  # fmt: skip
    """Time everything once."""
    for name, ways in products.items():
        progress.report(f"Measuring this machine's peak: {name}", None)
        for way in ways:
            best.keep(name, way.rate(progress))
    progress.report("Measuring this machine's peak: memory", None)
    if buffer is None:
        best.keep("memory", "there is no memory to spare for measuring")
        best.keep("cached memory", "there is no memory to spare for measuring")
    else:
        best.keep("memory", bandwidth(buffer, progress))
        best.keep("cached memory", bandwidth(within_caches(buffer), progress) if device.type == "cpu"
                  else "a GPU's caches are not measured")  # fmt: skip
    best.keep("ops", _op_rate(device, progress))


@functools.cache
def _remembered() -> dict[Key, Peaks]:
    """Of this process: where the cache directory cannot be written, they are still measured once only."""
    return {}


@contextmanager
def _plain_mode(device: torch.device) -> Iterator[None]:
    """Without the caller's autocast and gradients."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def _op_rate(device: torch.device, progress: Progress) -> Rate:
    """How many ops a second that have nothing to do: what a model of many small ops pays for each."""
    one = torch.ones(1, dtype=torch.float32, device=device)

    def ops() -> None:
        for _ in range(_OVERHEAD_OPS):
            torch.add(one, one, out=one)

    best_s = Race(synchronizer(device), progress, seconds=0.05).best_s(ops)
    return Rate(_OVERHEAD_OPS / best_s, f"{_OVERHEAD_OPS:,} additions of one number")


def _fp32_precision() -> str:
    """How fp32 products may be computed; tf32 or bf16 inside is a peak of its own."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        # the user has set torch's newer flags one by one
        flags = {"cuda": torch.backends.cuda, "cpu": torch.backends.mkldnn}
        return ", ".join(f"{name} {_precision(backend)}" for name, backend in flags.items())


def _precision(backend: Any) -> str:
    return str(getattr(getattr(backend, "matmul", None), "fp32_precision", "unknown"))


def _others() -> Callable[[], str | None]:
    """Watches other programs; the function that it gives says how much of the cores they took."""
    cores = psutil.cpu_count() or 1
    began_s, own_s, before = time.perf_counter(), time.process_time(), psutil.cpu_times()

    def verdict() -> str | None:
        elapsed_s, after = time.perf_counter() - began_s, psutil.cpu_times()
        idle_s = sum(getattr(after, name, 0.0) - getattr(before, name, 0.0) for name in ("idle", "iowait"))
        taken = (elapsed_s * cores - idle_s - (time.process_time() - own_s)) / elapsed_s
        if taken < _DISTURBED * cores:
            return None
        return f"other programs took {taken:.1f} of {cores} cores meanwhile"

    return verdict
