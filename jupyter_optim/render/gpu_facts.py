"""What each GPU did while the calls were timed: every figure, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.render import format as fmt
from jupyter_optim.report import GpuSamples, Report, Series

_NAMES = {
    "utilisation": "in use",
    "memory_controller": "memory busy",
    "memory_used": "memory held",
    "power": "power",
    "sm_clock": "SM clock",
    "memory_clock": "memory clock",
    "temperature": "temperature",
    "pcie_rx": "PCIe in",
    "pcie_tx": "PCIe out",
}
_PLAIN = {
    "memory_total_bytes": "memory in all",
    "pcie_generation": "PCIe generation",
    "pcie_width": "PCIe lanes",
    "throttle": "what holds the clocks down",
}
_HOW = "NVML, mean during the timing"


def gpu_facts(report: Report) -> Iterator[tuple[str, str, str]]:
    """For each GPU that was watched: its name in the report, its figures, and how they were got."""
    seen = report.hardware.samples
    if seen is None:
        return
    for gpu in seen.gpus:
        parts = [*_known(gpu), *([gpu.note] if gpu.note else []), *_missing(gpu)]
        yield f"GPU {gpu.index}", fmt.visible("; ".join(parts)), _HOW
    if not seen.gpus and (report.environment.gpus or report.workload.device.startswith("cuda")):
        yield "GPU", fmt.unknown(seen.gpu_reason), ""


def _known(gpu: GpuSamples) -> Iterator[str]:
    """What is known, as one enumeration."""
    words = [
        f"{name} {_value(series.mean, series.unit)}"
        for field, name in _NAMES.items()
        if (series := _series(gpu, field)).mean is not None
    ]
    plain = (
        None if gpu.memory_total_bytes is None else f"memory in all {fmt.size(gpu.memory_total_bytes)}",
        None if gpu.pcie_generation is None else f"PCIe generation {gpu.pcie_generation}",
        None if gpu.pcie_width is None else f"{fmt.plural(gpu.pcie_width, 'PCIe lane')}",
        None if gpu.throttle is None else _held_down(gpu.throttle),
    )
    words += [each for each in plain if each is not None]
    if words:
        yield ", ".join(words)


def _held_down(throttle: dict[str, float]) -> str:
    if not throttle:
        return "nothing held the clocks down"
    causes = (f"{cause} ({fmt.share(share)} of the time)" for cause, share in throttle.items())
    return f"clocks held down by {', '.join(causes)}"


def _missing(gpu: GpuSamples) -> Iterator[str]:
    """By reason: what is not known because of it, and what was known at first only."""
    never: dict[str, list[str]] = {}
    at_first: dict[str, list[str]] = {}
    for field, name in _NAMES.items():
        series = _series(gpu, field)
        if series.mean is None:
            never.setdefault(series.reason or "no reason was given", []).append(name)
        elif series.reason:
            at_first.setdefault(series.reason, []).append(name)
    for field, name in _PLAIN.items():
        if getattr(gpu, field) is None:
            never.setdefault(gpu.reasons.get(field) or "no reason was given", []).append(name)
    for reason, names in at_first.items():
        yield f"known for a part of the time only: {', '.join(names)} ({_bare(reason)})"
    for reason, names in never.items():
        yield f"{fmt.UNKNOWN}: {', '.join(names)} ({_bare(reason)})"


def _series(gpu: GpuSamples, field: str) -> Series:
    found: Series = getattr(gpu, field)
    return found


def _bare(reason: str) -> str:
    return reason.strip().rstrip(".")


def _value(mean: float, unit: str) -> str:
    if unit == "B":
        return fmt.size(mean)
    if unit == "KB/s":
        return f"{fmt.size(1e3 * mean)}/s"
    return f"{fmt.significant(mean)}{'' if unit == '%' else ' '}{unit}"
