"""The sampler: what it sees, what it costs, how it ends."""

from __future__ import annotations

import mmap
import threading
import time

import msgspec
import psutil
import pytest

from jupyter_optim.hardware.host import HostProbe
from jupyter_optim.hardware.sampler import Sampler
from jupyter_optim.report import Samples


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


def sampled(seconds: float = 0.3, interval_s: float = 0.02) -> Samples:
    with Sampler(interval_s, gpus=()) as sampler:
        busy(seconds)
    assert sampler.samples is not None
    return sampler.samples


def test_it_sees_a_busy_process() -> None:
    samples = sampled()
    assert samples.process_cpu.mean > 30
    assert samples.cpu.mean > 0
    assert len(samples.cores) == psutil.cpu_count()
    assert samples.rss.low > 10e6
    assert 0 < samples.memory_used.mean < psutil.virtual_memory().total
    assert samples.others_percent >= 0
    assert samples.process.user_s + samples.process.system_s > 0.05
    assert samples.window_s == pytest.approx(0.3, abs=0.2)
    assert samples.count >= 2


def test_what_is_missing_has_a_reason() -> None:
    samples = sampled(0.1)
    for name, value in msgspec.structs.asdict(samples).items():
        if hasattr(value, "mean"):
            assert value.mean is not None or value.reason, name
    assert samples.gpus == ()
    assert "not watched" in samples.gpu_reason


def test_it_says_what_it_costs() -> None:
    samples = sampled()
    assert samples.overhead_percent > 0
    assert "% of a core" in samples.method


def test_page_faults_of_fresh_memory_are_counted() -> None:
    # from the system, not from memory that this process has already had
    with Sampler(gpus=()) as sampler, mmap.mmap(-1, 32 * 2**20) as fresh:
        for page in range(0, len(fresh), 4096):
            fresh[page] = 1
    # 4 KB a page, or 2 MB where the system gives huge ones
    assert sampler.samples.process.minor_faults >= 10


def test_the_shortest_window_has_figures() -> None:
    with Sampler(gpus=()) as sampler:
        pass
    assert sampler.samples.count == 1
    assert sampler.samples.rss.mean is not None


def test_it_stops_at_once_and_leaves_no_thread() -> None:
    before = threading.active_count()
    sampler = Sampler(interval_s=60.0, gpus=())
    sampler.start()
    assert threading.active_count() == before + 1
    began = time.perf_counter()
    first = sampler.stop()
    assert time.perf_counter() - began < 1.0
    assert threading.active_count() == before
    assert sampler.stop() is first


def test_it_stops_when_the_work_raises() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Sampler(gpus=()) as sampler:
        _ = 1 / 0
    assert threading.active_count() == before
    assert sampler.samples is not None


def test_stopped_without_a_start() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Sampler().stop()


def test_a_process_that_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def refuse(*args, **kwargs):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    monkeypatch.setattr(psutil, "cpu_times", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    samples = sampled(0.1)
    for series in (samples.rss, samples.cpu, samples.memory_used, samples.steal):
        assert series.mean is None
        assert "does not tell" in series.reason
    assert samples.process_cpu.mean > 0
    assert samples.others_percent is None
    assert capsys.readouterr() == ("", "")


def test_a_sensor_that_is_dear_is_asked_less_often() -> None:
    with Sampler(0.01, gpus=()) as sampler:
        reads = 0

        def dear(at_s: float) -> None:
            nonlocal reads
            reads += 1
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass

        sampler._host.fast = dear
        time.sleep(0.5)
    # at 100 a second it would take all of a core
    assert reads <= 3


def test_the_present_frequency_is_read_and_the_nominal_one_is_not_taken_for_it(tmp_path) -> None:
    probe = HostProbe(tmp_path)
    probe.start()
    probe.slow(0.1)
    assert probe.samples().frequency.mean is None
    assert "nominal" in probe.samples().frequency.reason
    for core, kilohertz in enumerate((2_000_000, 3_000_000)):
        policy = tmp_path / f"policy{core}"
        policy.mkdir()
        (policy / "scaling_cur_freq").write_text(f"{kilohertz}\n")
    probe = HostProbe(tmp_path)
    probe.start()
    probe.slow(0.1)
    assert probe.samples().frequency.mean == 2500


def test_the_hottest_plausible_sensor_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(celsius):
        return psutil._ntuples.shwtemp("", celsius, None, None)

    chips = {
        "nvme": [reading(90.0)],
        "coretemp": [reading(0.0), reading(55.0), reading(61.0), reading(255.0)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    probe = HostProbe()
    probe.start()
    probe.slow(0.1)
    assert probe.samples().temperature.mean == 61.0
