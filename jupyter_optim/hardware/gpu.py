"""One GPU's sensors, each asked through the gate; one that refuses for good is not asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from jupyter_optim.hardware.nvml import Nvml, Refusal, mig_is_on, number, refusal, text
from jupyter_optim.hardware.track import Track
from jupyter_optim.report import GpuSamples

_POWER_INSTANT = 186
"""`NVML_FI_DEV_POWER_INSTANT`: not averaged over the last second, as `nvmlDeviceGetPowerUsage` is since Ampere."""

_THROTTLE = {
    0x2: "clocks set by hand",
    0x4: "power limit",
    0x8: "hardware slowdown (heat or power)",
    0x10: "sync boost",
    0x20: "too hot (driver)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "voltage limit",
}
"""By bit of the driver's mask (nvml.h, `nvmlClocksEventReasons`). Bit 1 is "idle", which holds nothing down."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One call of the driver, and the sensors that it answers."""

    name: str
    args: tuple[Any, ...]
    units: Mapping[str, str]
    pick: Mapping[str, Callable[[Any], float]] = field(default_factory=dict)
    """By sensor: what of the answer; all of it if left out."""
    zero: bool = False
    """Whether 0 can be true."""


# numbers, so that nothing is imported for them: NVML_CLOCK_SM 1, _MEM 2, NVML_TEMPERATURE_GPU 0,
# NVML_PCIE_UTIL_TX_BYTES 0, _RX_BYTES 1
_FAST = (
    _Question(
        "nvmlDeviceGetUtilizationRates", (), {"utilisation": "%", "memory_controller": "%"},
        {"utilisation": attrgetter("gpu"), "memory_controller": attrgetter("memory")}, zero=True,
    ),
    _Question("nvmlDeviceGetMemoryInfo", (), {"memory_used": "B"}, {"memory_used": attrgetter("used")}),
    _Question("nvmlDeviceGetPowerUsage", (), {"power": "W"}, {"power": lambda mw: number_of(mw, 1e-3)}),
    _Question("nvmlDeviceGetClockInfo", (1,), {"sm_clock": "MHz"}),
)  # fmt: skip
_SLOW = (
    _Question("nvmlDeviceGetClockInfo", (2,), {"memory_clock": "MHz"}),
    _Question("nvmlDeviceGetTemperature", (0,), {"temperature": "°C"}),
    _Question("nvmlDeviceGetPcieThroughput", (1,), {"pcie_rx": "KB/s"}, zero=True),
    _Question("nvmlDeviceGetPcieThroughput", (0,), {"pcie_tx": "KB/s"}, zero=True),
)
"""Asked once a second: they change slowly, and each PCIe counter takes the driver 20 ms."""

_LOOKS_BACK = frozenset({"utilisation", "memory_controller"})
_LOOKS_BACK_S = 1 / 6
"""Of at least so long a time the driver tells these (nvml.h: 1/6 s to 1 s, by product)."""
_TOO_SHORT = "the timing was shorter than the 1/6 s or more of which the driver tells this"

_ONCE = {
    "pcie_generation": "nvmlDeviceGetCurrPcieLinkGeneration",
    "pcie_width": "nvmlDeviceGetCurrPcieLinkWidth",
}


def number_of(value: float, factor: float) -> float:
    """`value` in another unit; a sign for "not available" stays what it is."""
    return value if isinstance(number(value, zero=True), Refusal) else value * factor


class GpuSensors:
    """The sensors of one GPU. `missing` says by sensor why it is silent."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.index = index
        self.missing: dict[str, str] = {}
        self._nvml = nvml
        self._handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
        self._silent: set[str] = set()
        self.mig = not isinstance(self._handle, Refusal) and mig_is_on(nvml, self._handle)
        self.name = text(self.ask("name", "nvmlDeviceGetName"))

    def ask(self, what: str, question: str, *args: Any) -> Any:
        """The answer to `question` about this GPU, or None; `missing[what]` then says why."""
        if what in self._silent:
            return None
        answer = self._handle
        if not isinstance(answer, Refusal):
            answer = self._nvml.ask(question, self._handle, *args)
        return self._checked(what, answer)

    def value(self, what: str, question: str, *args: Any, zero: bool = False) -> float | None:
        """The same for a number that is the whole answer."""
        answer = self.ask(what, question, *args)
        return None if answer is None else self.known(what, answer, zero=zero)

    def energy_j(self) -> float | None:
        """What this GPU took since its driver was loaded."""
        millijoules = self.value("energy", "nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules * 1e-3

    def instant_power_w(self) -> float | None:
        """Power now, where the driver tells it apart from the mean over the last second."""
        answer = self.ask("instant power", "nvmlDeviceGetFieldValues", [_POWER_INSTANT])
        if answer is None:
            return None
        reply = answer[0]
        if reply.nvmlReturn != 0:
            self._checked("instant power", refusal(reply.nvmlReturn, f"NVML error {reply.nvmlReturn}"))
            return None
        milliwatts = self.known("instant power", reply.value.uiVal, zero=False)
        return None if milliwatts is None else milliwatts * 1e-3

    def power_w(self) -> float | None:
        """Power as the driver usually tells it: since Ampere the mean over the last second."""
        milliwatts = self.value("power", "nvmlDeviceGetPowerUsage")
        return None if milliwatts is None else milliwatts * 1e-3

    def known(self, what: str, value: float, *, zero: bool) -> float | None:
        """`value`, or None where it is a sign for "not available"; `missing[what]` then says so."""
        checked: float | None = self._checked(what, number(value, zero=zero))
        return checked

    def _checked(self, what: str, answer: Any) -> Any:
        if not isinstance(answer, Refusal):
            self.missing.pop(what, None)
            return answer
        self.missing[what] = answer.reason
        if answer.final:
            self._silent.add(what)
        return None

    def read(self, question: _Question) -> dict[str, float]:
        """By sensor: what this question's answer says, as far as it says anything."""
        sensors = list(question.units)
        answer = self.ask(sensors[0], question.name, *question.args)
        if answer is None:
            for other in sensors[1:]:
                self.missing[other] = self.missing[sensors[0]]
            return {}
        found = {}
        for sensor in sensors:
            pick = question.pick.get(sensor)
            value = self.known(sensor, answer if pick is None else pick(answer), zero=question.zero)
            if value is not None:
                found[sensor] = value
        return found

    def held_down(self) -> frozenset[str] | None:
        """What holds the clocks down now; empty if nothing does, None if the driver does not tell."""
        mask = self.ask("throttle", "nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:
            # its name until driver 535; the new name alone would always say "too old"
            mask = self.ask("throttle (old name)", "nvmlDeviceGetCurrentClocksThrottleReasons")
            self.missing["throttle"] = self.missing.get("throttle (old name)", "")
        return None if mask is None else throttle_words(int(mask))


def throttle_words(mask: int) -> frozenset[str]:
    """The driver's mask of what holds the clocks down, in words."""
    unknown = mask & ~(sum(_THROTTLE) | 1)
    words = {word for bit, word in _THROTTLE.items() if mask & bit}
    return frozenset(words | ({f"cause {unknown:#x}"} if unknown else set()))


class GpuProbe:
    """Follows one GPU for a sampler."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self._sensors = GpuSensors(nvml, index)
        self._tracks = {name: Track(unit) for q in (*_FAST, *_SLOW) for name, unit in q.units.items()}
        self._early: set[str] = set()
        self._once: dict[str, float | None] = {}
        self._held: dict[str, int] = {}
        self._throttle_samples = 0

    def start(self) -> None:
        """Nothing here counts from a start."""

    def fast(self, at_s: float) -> None:
        """What changes from call to call."""
        self._add(at_s, _FAST)
        causes = self._sensors.held_down()
        if causes is not None:
            self._throttle_samples += 1
            for cause in causes:
                self._held[cause] = self._held.get(cause, 0) + 1

    def slow(self, at_s: float) -> None:
        """What changes slowly, or takes the driver long to tell."""
        self._add(at_s, _SLOW)

    def _add(self, at_s: float, questions: tuple[_Question, ...]) -> None:
        for question in questions:
            for name, value in self._sensors.read(question).items():
                if name in _LOOKS_BACK and at_s < _LOOKS_BACK_S:
                    self._early.add(name)  # it tells of what was before
                else:
                    self._tracks[name].add(at_s, value)

    def finish(self) -> None:
        """What hardly changes."""
        sensors = self._sensors
        memory = sensors.ask("memory_total_bytes", "nvmlDeviceGetMemoryInfo")
        total = None if memory is None else sensors.known("memory_total_bytes", memory.total, zero=False)
        self._once["memory_total_bytes"] = total
        for name, question in _ONCE.items():
            self._once[name] = sensors.value(name, question)

    def samples(self) -> GpuSamples:
        """All that was seen; asks the driver for nothing, for it may hang."""
        sensors, whole = self._sensors, {}
        for name in ("memory_total_bytes", *_ONCE):
            value = self._once.get(name)
            whole[name] = None if value is None else int(value)
        throttle = None
        if self._throttle_samples:
            throttle = {cause: count / self._throttle_samples for cause, count in sorted(self._held.items())}
        plain: dict[str, Any] = {"name": sensors.name, "throttle": throttle, **whole}
        silent = "the driver did not answer"
        series = {
            name: track.series(
                sensors.missing.get(name, None if track else _TOO_SHORT if name in self._early else silent)
            )
            for name, track in self._tracks.items()
        }
        return GpuSamples(
            index=sensors.index, name=sensors.name,
            note="cut into slices (MIG): the figures are of the whole GPU" if sensors.mig else None,
            memory_total_bytes=whole["memory_total_bytes"], pcie_generation=whole["pcie_generation"],
            pcie_width=whole["pcie_width"], throttle=throttle,
            reasons={name: sensors.missing.get(name, silent)
                     for name, value in plain.items() if value is None},
            **series,
        )  # fmt: skip
