"""What is measured without the profiler: time, the machine meanwhile, energy, and what the machine can do at most."""

from __future__ import annotations

import msgspec
import psutil

from jupyter_optim.hardware.energy import energy_of
from jupyter_optim.hardware.match import watched
from jupyter_optim.hardware.peaks import peaks
from jupyter_optim.hardware.sampler import Sampler
from jupyter_optim.profiling.latency import Budget, latency_of, synchronizer, time_calls
from jupyter_optim.progress import Progress
from jupyter_optim.report import Energy, Hardware, Latency, Peaks
from jupyter_optim.workload import Workload, dtype_name

_METERED_MS = 100.0
"""Calls between two looks at the clock while energy is metered."""


def timed(workload: Workload, progress: Progress) -> tuple[Latency, Hardware]:
    """Time the calls, and watch the machine meanwhile."""
    with Sampler(gpus=watched(workload.device)) as sampler:
        timing = time_calls(workload, progress, Budget())
    seen = sampler.stop()
    return latency_of(timing, workload.batch_size), Hardware(
        cpu_percent=seen.process_cpu.mean, rss_bytes=psutil.Process().memory_info().rss,
        method=seen.method,
        reason=seen.process_cpu.reason or seen.reason, samples=seen, calls=len(timing.samples_ms) + timing.warmup_calls,
    )  # fmt: skip


def metered(workload: Workload, latency: Latency, progress: Progress) -> Energy:
    """Call the model for a second more where energy can be metered; else the reason, and no call."""
    synchronize, calls = (
        synchronizer(workload.device),
        max(1, int(_METERED_MS / max(latency.median_ms or 0.0, 1e-3))),
    )

    def block() -> int:
        for _ in range(calls):
            args, kwargs = workload.fresh_inputs()
            workload.call(workload.model, args, kwargs)
        synchronize()
        return calls

    with workload.mode.applied(workload.model):
        found = energy_of(block, workload.device, progress=progress)
    return Energy(**msgspec.structs.asdict(found))


def limits(workload: Workload, progress: Progress) -> Peaks | None:
    """The peaks of the device that the model is on; measured when they are first asked for."""
    device = workload.device
    if device.type not in ("cpu", "cuda"):
        return None
    dtypes = {dtype_name(parameter.dtype) for parameter in workload.model.parameters()}
    found = peaks(device, dtypes=dtypes, progress=progress)
    return Peaks(
        device=str(device), flops_per_s=dict(found.flops),
        bytes_per_s=found.bandwidth_bytes_per_s, overhead_us=found.overhead_us,
        threads=found.key.threads if device.type == "cpu" else None,
        method=f"{found.method}, {found.measured_at[:10]}", reason=found.reason,
    )  # fmt: skip
