"""What the machine is doing now: one reading after the other, for somebody who looks on."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil

from jupyter_optim.hardware.gpu import GpuSensors
from jupyter_optim.hardware.host import Span, cpu_temperature
from jupyter_optim.hardware.nvml import Nvml, Refusal
from jupyter_optim.hardware.pace import Pace
from jupyter_optim.hardware.rapl import ROOT, Rapl
from jupyter_optim.report import LiveGpu, LiveSensor, SensorKey

T = TypeVar("T")

_Unit = Literal["%", "B", "W", "°C"]

MAX_GPUS = 16

_TEMPERATURE_COST = 0.002
"""Part of a core that reading the temperature may take: some boards answer within tens of milliseconds."""

_FIRST = "a rate needs two readings"


class Vitals:
    """Reads the host, this process and all GPUs. All calls come from one thread.

    Args:
        rapl_root: where the system shows the CPU's energy counters.
    """

    def __init__(self, rapl_root: Path = ROOT) -> None:
        self._rapl_root = rapl_root
        self._missing: dict[str, str] = {}
        self._nvml = Nvml()
        self._gpus: list[_Gpu] = []
        self.gpus: tuple[LiveGpu, ...] = ()
        self.gpu_reason: str | None = None
        self.cores = psutil.cpu_count()
        self._pace = Pace(1.0, _TEMPERATURE_COST)
        self._celsius: float | None = None
        self._began_s = time.monotonic()

    def start(self) -> None:
        """Open what has to be opened; rates count from here."""
        self._process = self._ask("process_memory", psutil.Process)
        self._rapl = Rapl(self._rapl_root)
        self._cpu = self._ask("cpu", psutil.cpu_times)
        self._at_s, self._process_s, self._energy_j = self._counters()
        self._find_gpus()

    def close(self) -> None:
        """Let the driver go."""
        self._nvml.close()

    def read(self) -> tuple[LiveSensor, ...]:
        """All sensors now. One that is silent has a reason in place of a value."""
        memory = self._ask("memory", psutil.virtual_memory)
        total = None if memory is None else float(memory.total)
        used = None if memory is None else float(memory.total - memory.available)
        own = None if self._process is None else self._ask("process_memory", self._process.memory_info)
        machine_percent = self._machine_percent()
        process_percent, watts = self._rates()
        return (
            self._sensor("cpu", "%", machine_percent, 100.0),
            self._sensor("process_cpu", "%", process_percent, self.cores and 100.0 * self.cores),
            self._sensor("memory", "B", used, total),
            self._sensor("process_memory", "B", None if own is None else float(own.rss), total),
            self._sensor("temperature", "°C", self._temperature()),
            self._sensor("power", "W", watts, reason=self._rapl.reason),
            *(sensor for gpu in self._gpus for sensor in gpu.read()),
        )

    def _sensor(
        self, key: SensorKey, unit: _Unit, value: float | None, full: float | None = None,
        reason: str | None = None,
    ) -> LiveSensor:  # fmt: skip
        why = None if value is not None else reason or self._missing.get(key, _FIRST)
        return LiveSensor(key=key, unit=unit, gpu=None, value=value, full=full, reason=why)

    def _machine_percent(self) -> float | None:
        before, now = self._cpu, self._ask("cpu", psutil.cpu_times)
        if before is None or now is None:
            return None
        span = Span.of(before, now)
        if span.total <= 0:
            return None  # the system counts in ticks of 10 ms, and none has passed
        self._cpu = now
        return 100 * span.busy / span.total

    def _rates(self) -> tuple[float | None, float | None]:
        """CPU time of this process over time, in per cent of one core; power of the CPU's packages."""
        at_s, process_s, energy_j = self._counters()
        elapsed_s = at_s - self._at_s
        before_s, before_j = self._process_s, self._energy_j
        self._at_s, self._process_s, self._energy_j = at_s, process_s, energy_j
        if elapsed_s <= 0:
            return None, None
        watts = None if energy_j is None or before_j is None else (energy_j - before_j) / elapsed_s
        return 100 * (process_s - before_s) / elapsed_s, watts

    def _counters(self) -> tuple[float, float, float | None]:
        return time.perf_counter(), time.process_time(), self._rapl.energy_j()

    def _temperature(self) -> float | None:
        """As of the last time that it was asked for, if asking is slow."""

        def read(_: float) -> None:
            self._celsius = self._ask("temperature", cpu_temperature)

        at_s = time.monotonic() - self._began_s
        if self._pace.due(at_s, ended=False):
            self._pace.take(at_s, [read])
        return self._celsius

    def _ask(self, what: SensorKey, question: Callable[[], T]) -> T | None:
        """The answer, or None; `_missing[what]` then says why. What failed is not asked again."""
        if what in self._missing:
            return None
        try:
            return question()
        except (psutil.Error, OSError, ValueError, RuntimeError, AttributeError, LookupError) as error:
            self._missing[what] = f"the system does not tell ({str(error) or type(error).__name__})"
            return None

    def _find_gpus(self) -> None:
        count = self._nvml.open().count()
        if isinstance(count, Refusal):
            self.gpu_reason = self._nvml.reason or count.reason
            return
        self._gpus = [_Gpu(GpuSensors(self._nvml, index)) for index in range(min(count, MAX_GPUS))]
        self.gpus = tuple(gpu.described for gpu in self._gpus)
        if count == 0:
            self.gpu_reason = "NVIDIA's driver counts no GPU"
        elif count > MAX_GPUS:
            self.gpu_reason = f"the first {MAX_GPUS} of {count} GPUs are shown"


class _Gpu:
    """The sensors of one GPU that are shown live."""

    def __init__(self, sensors: GpuSensors) -> None:
        self._sensors = sensors
        milliwatts = sensors.value("power limit", "nvmlDeviceGetEnforcedPowerLimit")
        self._limit_w = None if milliwatts is None else milliwatts * 1e-3
        self.described = LiveGpu(
            index=sensors.index, name=sensors.name,
            note="cut into slices (MIG): the figures are of the whole GPU" if sensors.mig else None,
        )  # fmt: skip

    def read(self) -> tuple[LiveSensor, ...]:
        sensors = self._sensors
        rates = sensors.ask("gpu_use", "nvmlDeviceGetUtilizationRates")
        memory = sensors.ask("gpu_memory", "nvmlDeviceGetMemoryInfo")
        return (
            self._sensor("gpu_use", "%", "gpu_use", self._part("gpu_use", rates, "gpu", zero=True), 100.0),
            self._sensor(
                "gpu_memory", "B", "gpu_memory", self._part("gpu_memory", memory, "used", zero=False),
                self._part("gpu_memory", memory, "total", zero=False),
            ),
            self._sensor("gpu_power", "W", "power", sensors.power_w(), self._limit_w),
            self._sensor(
                "gpu_temperature", "°C", "temperature",
                sensors.value("temperature", "nvmlDeviceGetTemperature", 0),
            ),
        )  # fmt: skip

    def _part(self, what: str, answer: Any, name: str, *, zero: bool) -> float | None:
        """One number of an answer that has several."""
        return None if answer is None else self._sensors.known(what, attrgetter(name)(answer), zero=zero)

    def _sensor(
        self, key: SensorKey, unit: _Unit, what: str, value: float | None, full: float | None = None
    ) -> LiveSensor:
        reason = None if value is not None else self._sensors.missing.get(what, "the driver did not answer")
        return LiveSensor(
            key=key, unit=unit, gpu=self._sensors.index, value=None if value is None else float(value),
            full=None if full is None else float(full), reason=reason,
        )  # fmt: skip
