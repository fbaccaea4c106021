"""Energy of a call, checked against machines whose energy is known; else a reason, never a constant."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from jupyter_optim.errors import Cancelled
from jupyter_optim.hardware.energy import energy_of
from jupyter_optim.hardware.meter import mean_over_time, slope, ticks
from jupyter_optim.progress import Progress
from tests.hardware import stub
from tests.hardware.test_rapl import domain

needs_stub = pytest.mark.skipif(stub.obstacle() is not None, reason=str(stub.obstacle()))


def mean_watts(found: dict) -> float:
    """The stub's power rises on a line: its mean over the run is that of the run's middle."""
    return 100.0 + 50.0 * (found["ended_s"] - found["energy"]["elapsed_s"] / 2)


@needs_stub
def test_by_the_counter_within_its_granularity() -> None:
    found = stub.answers("v100", "energy")
    energy = found["energy"]
    assert energy["status"] == "measured"
    assert "energy counter" in energy["method"]
    assert energy["elapsed_s"] >= 1.0
    assert energy["power_w"] == pytest.approx(mean_watts(found), rel=0.06)
    assert energy["energy_j"] == pytest.approx(energy["power_w"] * energy["elapsed_s"] / energy["calls"])


@needs_stub
@pytest.mark.parametrize("machine", ["pascal", "hopper-power", "stuck-counter"])
def test_by_power_over_time_where_no_counter_is_or_moves(machine: str) -> None:
    found = stub.answers(machine, "energy")
    energy = found["energy"]
    assert energy["status"] == "estimated"
    assert "energy counter" in energy["reason"]
    assert "power" in energy["method"]
    assert energy["power_w"] == pytest.approx(mean_watts(found), rel=0.06)


@needs_stub
@pytest.mark.parametrize("machine", ["vgpu", "wsl", "lost", "zeros", "mig", "mismatch"])
def test_no_energy_where_nothing_can_be_metered(machine: str) -> None:
    energy = stub.answers(machine)["energy"]
    assert energy["status"] == "unavailable"
    assert energy["energy_j"] is energy["power_w"] is None
    assert energy["reason"]
    assert energy["calls"] == 0


def test_cpu_by_rapl_also_where_the_counter_wraps(tmp_path: Path) -> None:
    span_uj = 400_000_000
    package = domain(tmp_path, "intel-rapl:0", "package-0", energy_uj=span_uj - 10_000_000, span_uj=span_uj)
    spent_uj = 0

    def calls() -> int:
        nonlocal spent_uj
        time.sleep(0.005)
        spent_uj += 3 * 700_000
        # as the kernel does it: a reader never meets a file that is half written
        fresh = tmp_path / "fresh"
        fresh.write_text(f"{(span_uj - 10_000_000 + spent_uj) % span_uj}\n")
        fresh.replace(package / "energy_uj")
        return 3

    energy = energy_of(calls, "cpu", seconds=0.3, rapl_root=tmp_path)
    assert spent_uj > 10_000_000
    assert energy.status == "measured"
    assert "RAPL" in energy.method
    assert energy.energy_j == pytest.approx(0.7, rel=0.05)


def test_cpu_without_rapl_runs_nothing(tmp_path: Path) -> None:
    energy = energy_of(lambda: pytest.fail("it was run"), "cpu", rapl_root=tmp_path)
    assert energy.energy_j is None
    assert "no energy counters" in energy.reason


def test_a_counter_that_stands_still_is_no_zero(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0")
    energy = energy_of(lambda: 1, "cpu", seconds=0.05, rapl_root=tmp_path)
    assert energy.energy_j is None
    assert "did not move" in energy.reason


def test_other_devices() -> None:
    assert "mps" in energy_of(lambda: 1, "mps").reason


def test_cancel_and_errors_pass_through_and_leave_no_thread(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0")
    before, progress = threading.active_count(), Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        energy_of(lambda: 1, "cpu", rapl_root=tmp_path, progress=progress)
    with pytest.raises(ZeroDivisionError):
        energy_of(lambda: 1 // 0, "cpu", rapl_root=tmp_path)
    assert threading.active_count() == before


def test_ticks_slope_and_mean() -> None:
    # renewed every 0.1 s by 10 J, read every 0.04 s: 100 W
    points = [(i * 0.04, 7.0 + 10 * int(i * 0.04 / 0.1 + 1e-9)) for i in range(60)]
    assert slope(points) == pytest.approx(100, rel=0.03)
    assert len(ticks(points)) == 23
    assert slope(points[:4]) is None
    assert slope([(0.0, 5.0), (0.1, 4.0), (0.2, 3.0)]) is None
    assert mean_over_time([(0.0, 100.0), (1.0, 200.0), (1.5, 200.0)]) == pytest.approx(250 / 1.5)
    assert mean_over_time([(0.0, 100.0)]) is None
