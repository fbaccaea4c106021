"""The machine: what it is, what it can do at most, and what it did meanwhile."""

from __future__ import annotations

from jupyter_optim.report.base import Data, Status
from jupyter_optim.report.samples import Samples


class Gpu(Data, frozen=True, kw_only=True):
    """One GPU as its driver describes it; `None` where the driver would not say."""

    index: int
    name: str | None
    uuid: str | None
    memory_bytes: int | None
    driver: str | None


class Environment(Data, frozen=True, kw_only=True):
    """The machine and the software that the figures belong to. Holds no user or host name."""

    cpu_model: str | None
    physical_cores: int | None
    logical_cores: int | None
    threads: int | None
    """Intra-op threads that torch used (`torch.get_num_threads()`); None in the report of a trace file."""
    interop_threads: int | None
    isa: tuple[str, ...]
    """Instruction set extensions that matter to matrix work, such as ``avx512_vnni``."""
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]
    gpu_reason: str | None
    """Why `gpus` is empty or incomplete, or None."""
    os: str
    python: str
    torch: str
    """These three are empty in the report of a trace file, which does not tell them."""
    libraries: dict[str, str]


class Peaks(Data, frozen=True, kw_only=True):
    """The most that this machine can do, measured."""

    device: str
    flops_per_s: dict[str, float]
    """By element type: multiply-adds count two."""
    bytes_per_s: float | None
    """Memory read and written."""
    overhead_us: float | None
    """Time to launch the smallest op."""
    threads: int | None
    method: str
    reason: str | None = None


class Hardware(Data, frozen=True, kw_only=True):
    """What the machine was doing during the clean timing."""

    cpu_percent: float | None
    """CPU time of this process over wall time; 100 is one core fully used."""
    rss_bytes: int | None
    """Resident memory of this process after the timing."""
    method: str
    reason: str | None = None
    samples: Samples | None = None
    """What was seen of the machine in the meantime."""
    calls: int | None = None
    """Calls of the model that were made meanwhile."""


class Energy(Data, frozen=True, kw_only=True):
    """Energy of one call."""

    energy_j: float | None
    status: Status
    method: str
    reason: str | None = None
    power_w: float | None = None
    """Mean power of the device meanwhile, other programs' part included."""
    calls: int = 0
    """Calls that were metered."""
    elapsed_s: float | None = None
