"""What the hardware panel shows of the machine now: each sensor has a value or a reason."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_optim.hardware.vitals import Vitals
from jupyter_optim.report import LiveSensor
from tests.hardware import stub

needs_stub = pytest.mark.skipif(stub.obstacle() is not None, reason=str(stub.obstacle()))


def by_key(sensors: tuple[LiveSensor, ...]) -> dict[str, LiveSensor]:
    return {sensor.key: sensor for sensor in sensors if sensor.gpu is None}


def burn(cpu_s: float) -> None:
    until = time.process_time() + cpu_s
    while time.process_time() < until:
        pass


def test_a_busy_process_is_seen_on_its_machine() -> None:
    vitals = Vitals()
    vitals.start()
    burn(0.3)
    found = by_key(vitals.read())
    vitals.close()
    assert found["process_cpu"].value > 10
    assert found["process_cpu"].full == 100 * psutil.cpu_count()
    assert 0 < found["cpu"].value <= 100
    assert 10e6 < found["process_memory"].value < found["memory"].value < found["memory"].full
    for sensor in found.values():
        assert (sensor.value is None) == bool(sensor.reason), sensor


def test_power_is_the_energy_of_the_packages_over_time(tmp_path: Path) -> None:
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "1000"), ("max_energy_range_uj", "1000000000")):
        (package / name).write_text(text)
    vitals = Vitals(tmp_path)
    vitals.start()
    began_s = time.perf_counter()
    (package / "energy_uj").write_text("20001000")
    time.sleep(0.2)
    power = by_key(vitals.read())["power"]
    most = 20 / 0.2
    assert 20 / (time.perf_counter() - began_s) * 0.5 < power.value < most
    # WHEN the system takes the counter away, THEN there is a reason, and no power of old
    (package / "energy_uj").unlink()
    power = by_key(vitals.read())["power"]
    assert power.value is None
    assert "cannot be read" in power.reason
    vitals.close()


@needs_stub
@pytest.mark.parametrize("machine", ["v100", "mig", "wsl", "lost-later", "no-driver", "zeros", "two"])
def test_each_sensor_of_a_gpu_has_a_value_or_a_reason(machine: str) -> None:
    found = stub.answers(machine, "vitals")
    assert found["gpus"] or found["gpu_reason"]
    of_gpus: list[dict[str, Any]] = [sensor for sensor in found["sensors"] if sensor["gpu"] is not None]
    assert len(of_gpus) == 4 * len(found["gpus"])
    for sensor in of_gpus:
        assert (sensor["value"] is None) == bool(sensor["reason"]), sensor
        assert sensor["value"] != 0 or sensor["key"] == "gpu_use"


@needs_stub
def test_a_healthy_gpu_tells_all() -> None:
    found = stub.answers("v100", "vitals")
    assert all(sensor["value"] is not None for sensor in found["sensors"] if sensor["gpu"] == 0)
    (memory,) = (sensor for sensor in found["sensors"] if sensor["key"] == "gpu_memory")
    assert 0 < memory["value"] < memory["full"]
    assert "MIG" in stub.answers("mig", "vitals")["gpus"][0]["note"]
