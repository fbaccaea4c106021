"""The host's sensors: cores, this process, memory, frequency, temperature.

A sensor that the system lacks or forbids is asked once, and its reason kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from jupyter_optim.hardware.track import Track
from jupyter_optim.report import Series

T = TypeVar("T")

CPUFREQ = Path("/sys/devices/system/cpu/cpufreq")

_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")
"""Names under which Linux shows a CPU's temperature, the telling ones first."""

_MAX_POLICIES = 16
"""Frequencies are read of at most this many groups of cores: each is a file that makes the kernel ask the core."""

_MAX_CORES_WITH_POINTS = 8


@dataclass(frozen=True, slots=True)
class HostSamples:
    """What the host did; see `Samples` for the fields."""

    process_cpu: Series
    cpu: Series
    cores: tuple[Series, ...]
    others_percent: float | None
    steal: Series
    rss: Series
    memory_used: Series
    frequency: Series
    temperature: Series


class HostProbe:
    """Follows the host for a sampler."""

    def __init__(self, cpufreq: Path = CPUFREQ) -> None:
        self._cpufreq = cpufreq
        self._missing: dict[str, str] = {}
        self._process: Any = None
        self._policies: tuple[Path, ...] = ()
        self._process_cpu, self._cpu, self._steal = Track("%"), Track("%"), Track("%")
        self._rss, self._memory = Track("B"), Track("B")
        self._frequency, self._temperature = Track("MHz"), Track("°C")
        self._cores: list[Track] = []
        self._before: list[Any] = []
        self._at_s = self._process_s = 0.0

    def start(self) -> None:
        """Rates count from here."""
        self._process = self._ask("rss", psutil.Process)
        self._policies = tuple(sorted(self._cpufreq.glob("policy*/scaling_cur_freq")))[:_MAX_POLICIES]
        if not self._policies:
            # without these, psutil falls back to the nominal frequency: a constant in disguise
            self._missing["frequency"] = (
                "this system does not tell the present frequency, only the nominal one"
            )
        self._before = self._ask("cpu", _core_times) or []
        self._cores = [Track("%") for _ in self._before]
        self._at_s, self._process_s = time.perf_counter(), time.process_time()

    def fast(self, at_s: float) -> None:
        """Cores, process, resident memory."""
        now, process_s = time.perf_counter(), time.process_time()
        elapsed = now - self._at_s
        if elapsed > 0:
            self._process_cpu.add(at_s, 100 * (process_s - self._process_s) / elapsed, elapsed)
        self._at_s, self._process_s = now, process_s
        self._read_cores(at_s)
        if self._process is not None:
            memory = self._ask("rss", self._process.memory_info)
            if memory is not None:
                self._rss.add(at_s, memory.rss)

    def slow(self, at_s: float) -> None:
        """What changes slowly, or takes the system long to tell."""
        memory = self._ask("memory_used", psutil.virtual_memory)
        if memory is not None:
            self._memory.add(at_s, memory.total - memory.available)
        if self._policies:
            frequency = self._ask("frequency", self._mean_mhz)
            if frequency is not None:
                self._frequency.add(at_s, frequency)
        temperature = self._ask("temperature", cpu_temperature)
        if temperature is not None:
            self._temperature.add(at_s, temperature)

    def finish(self) -> None:
        """Nothing here is read only once."""

    def _read_cores(self, at_s: float) -> None:
        times = self._ask("cpu", _core_times)
        if times is None or len(times) != len(self._before):
            return
        spans = [Span.of(before, after) for before, after in zip(self._before, times, strict=True)]
        whole = Span(sum(s.total for s in spans), sum(s.busy for s in spans), sum(s.stolen for s in spans))
        if whole.total <= 0:
            return  # the kernel counts in ticks of 10 ms, and none has passed
        self._before = times
        self._cpu.add(at_s, 100 * whole.busy / whole.total, whole.total)
        self._steal.add(at_s, 100 * whole.stolen / whole.total, whole.total)
        for track, span in zip(self._cores, spans, strict=True):
            if span.total > 0:
                track.add(at_s, 100 * span.busy / span.total, span.total)

    def _mean_mhz(self) -> float:
        kilohertz = [int(path.read_bytes()) for path in self._policies]
        return sum(kilohertz) / len(kilohertz) / 1e3

    def _ask(self, what: str, question: Callable[[], T]) -> T | None:
        """The answer, or None; `_missing[what]` then says why. What failed is not asked again."""
        if what in self._missing:
            return None
        try:
            return question()
        except (psutil.Error, OSError, ValueError, RuntimeError, AttributeError, LookupError) as error:
            detail = str(error)
            self._missing[what] = f"the system does not tell ({detail or type(error).__name__})"
            return None

    def samples(self) -> HostSamples:
        """All that was seen."""
        why = self._missing.get
        points = len(self._cores) <= _MAX_CORES_WITH_POINTS
        own, all_cores = self._process_cpu.mean, self._cpu.mean
        others = None
        if own is not None and all_cores is not None:
            others = max(0.0, all_cores * len(self._cores) - own)
        stolen = self._steal.series(why("cpu"))
        if not hasattr(next(iter(self._before), None), "steal"):
            stolen = Series(unit="%", reason="this system does not tell")
        return HostSamples(
            process_cpu=self._process_cpu.series(), cpu=self._cpu.series(why("cpu")),
            cores=tuple(track.series(why("cpu"), points=points) for track in self._cores),
            others_percent=others, steal=stolen, rss=self._rss.series(why("rss")),
            memory_used=self._memory.series(why("memory_used")),
            frequency=self._frequency.series(why("frequency")),
            temperature=self._temperature.series(why("temperature")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """CPU seconds between two samples, of one core or of all."""

    total: float
    busy: float
    stolen: float

    @classmethod
    def of(cls, before: Any, after: Any) -> Span:
        # guest time is in user time already
        fields = [name for name in after._fields if not name.startswith("guest")]
        spent = {name: max(0.0, getattr(after, name) - getattr(before, name)) for name in fields}
        total = sum(spent.values())
        stolen = spent.get("steal", 0.0)
        return cls(total, total - spent.get("idle", 0.0) - spent.get("iowait", 0.0) - stolen, stolen)


def _core_times() -> list[Any]:
    found: list[Any] = psutil.cpu_times(percpu=True)
    return found


def cpu_temperature() -> float:
    """The hottest reading of the CPU."""
    read = getattr(psutil, "sensors_temperatures", None)
    if read is None:
        raise LookupError("psutil knows no temperatures on this system")
    chips = read()
    for chip in _CPU_CHIPS:
        found = list(_plausible(chips.get(chip, ())))
        if found:
            return max(found)
    raise LookupError("no temperature sensor of a CPU is shown, as is usual in a virtual machine")


def _plausible(readings: Any) -> Iterator[float]:
    """Some boards answer 0 or -273 for a sensor that is not wired."""
    return (float(each.current) for each in readings if each.current is not None and 0 < each.current < 150)
