"""What a sampler saw, as plain data.

Values that were never seen are None, and `reason` says why; a sensor that fell silent keeps its values and has a
reason too.
"""

from __future__ import annotations

from jupyter_optim.report.base import Data


class Series(Data, frozen=True, kw_only=True):
    """One sensor over the window."""

    unit: str
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    times_s: tuple[float, ...] = ()
    """When, in seconds from the window's start; at most 60 points, each the mean of its neighbours."""
    values: tuple[float, ...] = ()
    reason: str | None = None


class GpuSamples(Data, frozen=True, kw_only=True):
    """What one GPU did meanwhile."""

    index: int
    """NVML's index, which is not torch's."""
    name: str | None
    note: str | None
    """What limits all its figures: it is cut into slices (MIG), say."""
    utilisation: Series
    """Per cent of the time in which a kernel ran; not how much of the GPU it filled."""
    memory_controller: Series
    """Per cent of the time in which device memory was read or written."""
    memory_used: Series
    memory_total_bytes: int | None
    power: Series
    sm_clock: Series
    memory_clock: Series
    temperature: Series
    pcie_rx: Series
    """Host to device."""
    pcie_tx: Series
    """Device to host."""
    pcie_generation: int | None
    pcie_width: int | None
    throttle: dict[str, float] | None
    """By cause: the share of samples in which it held the clocks down. Empty: nothing did. None: not known."""
    reasons: dict[str, str]
    """By field: why a field that is no series is None."""


class ProcessCounters(Data, frozen=True, kw_only=True):
    """What the operating system counted for this process over the window."""

    user_s: float | None = None
    system_s: float | None = None
    system_share: float | None = None
    """Part of the CPU time that was spent in the kernel: page faults, copies, locks."""
    minor_faults: int | None = None
    """Pages that were mapped on first touch: memory that is freshly allocated at every call costs these."""
    major_faults: int | None = None
    """Pages that had to be read from disk."""
    preemptions: int | None = None
    """How often another program took a core away."""
    reason: str | None = None


class Samples(Data, frozen=True, kw_only=True):
    """What the machine did during a window of time."""

    window_s: float
    interval_s: float
    """The interval that was asked for."""
    count: int
    """Samples that were taken."""
    process_cpu: Series
    """CPU time of this process over wall time, in per cent: 100 is one core fully used."""
    cpu: Series
    """All cores together, all programs: 100 is all of them fully used."""
    cores: tuple[Series, ...]
    """Each core, all programs; without points where there are many cores."""
    others_percent: float | None
    """Mean CPU use of all other programs, in per cent of one core: what may have disturbed a timing."""
    steal: Series
    """Part of the CPU time that the hypervisor gave to other machines."""
    rss: Series
    """Resident memory of this process."""
    memory_used: Series
    """Memory of the machine that is not available to a new program."""
    frequency: Series
    temperature: Series
    process: ProcessCounters
    gpus: tuple[GpuSamples, ...]
    gpu_reason: str | None
    """Why `gpus` is empty."""
    overhead_percent: float
    """CPU time that the sampler itself took, in per cent of one core."""
    method: str
    reason: str | None = None
    """What went wrong with the sampling itself."""
