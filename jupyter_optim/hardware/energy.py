"""Energy of one call, from a counter or from power over time; where there is neither, the reason. Never a constant.

The workload is repeated for a second and more: NVML renews its counter some ten times a second, and on A100 and
H100 the power sensor looks at a quarter of the time (arXiv 2312.02741).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from jupyter_optim.hardware.gpu import GpuSensors
from jupyter_optim.hardware.match import Match, nvml_match
from jupyter_optim.hardware.meter import Meter, Run, mean_over_time, slope, ticks
from jupyter_optim.hardware.nvml import Nvml
from jupyter_optim.hardware.rapl import ROOT, Rapl
from jupyter_optim.progress import Progress
from jupyter_optim.report import Status

Loop = Callable[[], int]
"""Performs some calls, waits until the device has done them, and returns how many they were."""

_POLL_S = 0.01
_RAPL_POLL_S = 0.25
_LEAD_IN_S = 1.0
_MIN_TICKS = 6
"""A counter's rise is read between ticks; fewer would leave more than some per cent to chance."""

_PATIENCE = 3.0
"""A slow counter may stretch the run to this many times its length."""


class EnergyReading(msgspec.Struct, frozen=True, kw_only=True):
    """Energy of one call, and how it was got."""

    energy_j: float | None
    power_w: float | None
    """Mean power of the device while the calls ran, other programs' part included."""
    calls: int
    """Calls that were metered."""
    elapsed_s: float | None
    status: Status
    method: str
    reason: str | None = None


def energy_of(
    loop: Loop, device: torch.device | str, *, seconds: float = 1.0, rapl_root: Path = ROOT,
    progress: Progress | None = None,
) -> EnergyReading:  # fmt: skip
    """Meter the energy of a call. Where nothing can be metered, `loop` is not run.

    Args:
        loop: performs some calls (some 100 ms of them at most are best), and returns how many.
        device: where the work is done.
        seconds: for how long to repeat it, at least.
        rapl_root: where the system shows the CPU's counters.
        progress: hears of *Cancel* between two loops.

    Raises:
        Cancelled: the user said so. Whatever `loop` raises passes through too.
    """
    device = torch.device(device)
    if device.type == "cpu":
        return cpu_energy(loop, Rapl(rapl_root), seconds=seconds, progress=progress)
    if device.type != "cuda":
        return unavailable(f"energy of a device of type {device.type} is not metered")
    with Nvml() as nvml:
        if nvml.reason is not None:
            return unavailable(nvml.reason)
        return gpu_energy(loop, nvml, nvml_match(nvml, device), seconds=seconds, progress=progress)


def cpu_energy(
    loop: Loop, rapl: Rapl, *, seconds: float = 1.0, progress: Progress | None = None
) -> EnergyReading:
    """Meter calls on the CPU by the energy counters of its packages."""
    if rapl.reason is not None:
        return unavailable(rapl.reason)
    meter = Meter([rapl.energy_j], _RAPL_POLL_S)
    run = meter.during(loop, lambda elapsed_s: elapsed_s >= seconds, progress)
    points = meter.points[0]
    if rapl.reason is not None:
        return unavailable(rapl.reason)
    spent_j = points[-1][1] - points[0][1]
    if spent_j <= 0:
        return unavailable("the CPU's energy counter (RAPL) did not move while the calls ran")
    packages = "the CPU package" if rapl.packages == 1 else f"{rapl.packages} CPU packages"
    return _reading(
        run, spent_j / (points[-1][0] - points[0][0]), "measured",
        f"energy counter (RAPL) of {packages}, other programs' part included, over {_span(run)}",
    )  # fmt: skip


def gpu_energy(
    loop: Loop, nvml: Nvml, where: Match, *, seconds: float = 1.0, progress: Progress | None = None
) -> EnergyReading:
    """Meter calls on a GPU: by its energy counter, or else by its power over time."""
    if where.index is None:
        return unavailable(where.reason or "NVIDIA's driver does not know the device")
    if where.is_slice:
        return unavailable(
            "the device is a slice of a GPU (MIG), and the driver has counters of whole GPUs only"
        )
    sensors = GpuSensors(nvml, where.index)
    has_counter = sensors.energy_j() is not None
    instant = sensors.instant_power_w() is not None
    if not (has_counter or instant or sensors.power_w() is not None):
        return unavailable(_neither(sensors))
    if not (has_counter or instant):
        # this power is a mean over the last second, which shall be one of work
        Meter([], _POLL_S).during(loop, lambda elapsed_s: elapsed_s >= _LEAD_IN_S, progress)
    meter = Meter([sensors.energy_j, sensors.instant_power_w if instant else sensors.power_w], _POLL_S)
    counter, power = meter.points

    def enough(elapsed_s: float) -> bool:
        if elapsed_s < seconds:
            return False
        waiting = has_counter and "energy" not in sensors.missing and len(ticks(counter)) < _MIN_TICKS
        return not waiting or elapsed_s >= _PATIENCE * seconds

    run = meter.during(loop, enough, progress)
    fell_silent = sensors.missing.get("energy") if has_counter else None
    cut_short = f"the counter fell silent on the way: {fell_silent}" if fell_silent else None
    watts = slope(counter) if len(ticks(counter)) >= _MIN_TICKS else None
    if watts is not None:
        status: Status = "estimated" if cut_short else "measured"
        return _reading(run, watts, status, f"the GPU's energy counter (NVML), over {_span(run)}", cut_short)
    watts = mean_over_time(power)
    if watts is not None:
        kind = "power" if instant else "power, a mean over the last second on newer GPUs,"
        no_counter = (
            "it has no energy counter that moves"
            if has_counter
            else f"no energy counter: {sensors.missing['energy']}"
        )
        return _reading(
            run, watts, "estimated",
            f"the GPU's {kind} (NVML) over time, {len(power)} readings over {_span(run)}", cut_short or no_counter,
        )  # fmt: skip
    return unavailable(_neither(sensors))


def unavailable(reason: str) -> EnergyReading:
    """No energy, because of `reason`."""
    return EnergyReading(
        energy_j=None, power_w=None, calls=0, elapsed_s=None, status="unavailable", method="", reason=reason
    )


def _neither(sensors: GpuSensors) -> str:
    why = sensors.missing
    counter, power = why.get("energy", "it does not move"), why.get("power") or why.get("instant power")
    if counter == power:
        return f"the GPU has neither an energy counter nor power for us: {counter}"
    return f"no energy counter ({counter}), no power ({power or 'too few readings'})"


def _reading(run: Run, watts: float, status: Status, method: str, reason: str | None = None) -> EnergyReading:
    """Mean power times the time of one call: so the counter's ticks need not meet the run's ends."""
    if run.calls <= 0:
        return unavailable("nothing was called")
    return EnergyReading(
        energy_j=watts * run.elapsed_s / run.calls, power_w=watts, calls=run.calls, elapsed_s=run.elapsed_s,
        status=status, method=method, reason=reason,
    )  # fmt: skip


def _span(run: Run) -> str:
    return f"{run.calls} calls in {run.elapsed_s:.3g} s"
