"""What the hardware panel is told while somebody looks at it: the machine as it is now, and the cells that ran."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data

LIVE_VERSION = 1
"""Of what is sent: raised with a change that an older viewer cannot read."""

SensorKey = Literal[
    "cpu", "process_cpu", "memory", "process_memory", "temperature", "power",
    "gpu_use", "gpu_memory", "gpu_power", "gpu_temperature",
]  # fmt: skip


class LiveSensor(Data, frozen=True, kw_only=True):
    """One sensor now."""

    key: SensorKey
    unit: Literal["%", "B", "W", "°C"]
    gpu: int | None
    """NVML's index of the GPU that it belongs to."""
    value: float | None
    full: float | None
    """Where its scale ends: all cores, all of the memory, the power limit."""
    reason: str | None
    """Why there is no value."""


class LiveGpu(Data, frozen=True, kw_only=True):
    """One GPU as its driver calls it."""

    index: int
    name: str | None
    note: str | None
    """What limits all its figures: it is cut into slices (MIG), say."""


class CellRun(Data, frozen=True, kw_only=True):
    """When a cell ran."""

    number: int | None
    """The number of its prompt; None where it has none."""
    began_s: float
    ended_s: float | None
    """None while it runs."""


class LiveFrame(Data, frozen=True, kw_only=True):
    """All that is known at one moment. Times are seconds on one clock of the kernel."""

    at_s: float
    every_s: float
    """The time from one frame to the next."""
    cores: int | None
    sensors: tuple[LiveSensor, ...]
    gpus: tuple[LiveGpu, ...]
    gpu_reason: str | None
    """Why `gpus` is empty or incomplete."""
    cells: tuple[CellRun, ...]
    """The newest runs of cells, the oldest first."""


class LiveRequest(Data, frozen=True, kw_only=True):
    """What a viewer asks for as it opens its comm."""

    every_s: float = 1.0
