"""The machine's peaks: plausible, measured once, and never in the way."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest
import torch

from jupyter_optim.errors import Cancelled
from jupyter_optim.hardware import bandwidth, peak_cache, peaks
from jupyter_optim.hardware.peak_data import Peaks
from jupyter_optim.progress import Progress


@pytest.fixture(scope="module")
def measured() -> tuple[Peaks, float]:
    """This machine's, and the seconds that they took."""
    device = torch.device("cpu")
    began = time.perf_counter()
    return peaks.measure(peaks.key_of(device), device, Progress()), time.perf_counter() - began


@pytest.fixture
def measurements(measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A cache directory of its own, and what was asked to be measured: measuring itself takes no time here."""
    made = []

    def measure(key, device, progress, before=None, dtypes=None):
        made.append(before)
        return msgspec.structs.replace(
            measured[0], key=key, reason=None, tries=1 + (before.tries if before else 0)
        )

    monkeypatch.setattr(peaks, "measure", measure)
    monkeypatch.setenv("JUPYTER_OPTIM_CACHE", str(tmp_path / "cache"))
    peaks._remembered.cache_clear()
    yield made
    peaks._remembered.cache_clear()


def test_a_quick_pass_measures_what_a_model_needs_and_what_it_may_become(tmp_path: Path) -> None:
    device = torch.device("cpu")
    found = peaks.measure(peaks.key_of(device), device, Progress(), None, {"float32", "bfloat16", "int8"})
    assert set(found.flops) == {"float32", "bfloat16", "int8"}
    assert found.bandwidth_bytes_per_s > 0
    assert found.method.startswith("one quick pass")


def test_a_type_that_was_not_measured_yet_is_measured_when_it_matters(measurements, monkeypatch) -> None:
    known = peaks.peaks("cpu", dtypes={"float32"})
    assert peaks.peaks("cpu", dtypes={"float32"}) is known
    another_process()
    assert len(measurements) == 1
    kept = msgspec.structs.replace(known, flops={"float32": 1e9})
    monkeypatch.setattr(peaks.peak_cache, "load", lambda _: kept)
    peaks.peaks("cpu", dtypes={"float64"})
    assert measurements[-1] == kept


def another_process() -> None:
    peaks._remembered.cache_clear()


def test_plausible(measured) -> None:
    found, took_s = measured
    assert set(found.flops) | set(found.reasons) >= {"float32", "bfloat16", "float16", "float64", "int8"}
    assert 1e9 < found.flops["float32"] < 1e15
    assert all(value > 0 for value in found.flops.values())
    assert 1e8 < found.bandwidth_bytes_per_s < 1e13
    assert found.cached_bandwidth_bytes_per_s > 1e7
    assert 0.05 < found.overhead_us < 1000
    assert "int" in found.methods["int8"] or "quantized" in found.methods["int8"]
    if found.reason is None:  # figures of a busy machine need not fit together
        assert found.flops["float64"] < 1.5 * found.flops["float32"]
        assert found.cached_bandwidth_bytes_per_s > 0.5 * found.bandwidth_bytes_per_s
    assert found.took_s == pytest.approx(took_s, rel=0.1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Peaks) == found


def test_it_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_PASSES", 1)
    monkeypatch.setattr(peaks, "_LONG_S", 0.0)
    states = torch.get_rng_state(), random.getstate()
    threads, device = torch.get_num_threads(), torch.device("cpu")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = peaks.measure(peaks.key_of(device), device, Progress())
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert torch.get_num_threads() == threads
    assert set(found.flops) >= {"float32", "float64"}


def test_measured_once_in_a_process_and_once_on_a_machine(measurements) -> None:
    first = peaks.peaks()
    assert peaks.peaks("cpu") == first
    another_process()
    assert peaks.peaks() == first
    assert len(measurements) == 1


def test_measured_anew_when_what_they_depend_on_changes(measurements) -> None:
    threads = torch.get_num_threads()
    peaks.peaks()
    try:
        torch.set_num_threads(threads + 1)
        assert peaks.peaks().key.threads == threads + 1
        assert len(measurements) == 2
    finally:
        torch.set_num_threads(threads)
    try:
        torch.set_float32_matmul_precision("medium")
        peaks.peaks()
        assert len(measurements) == 3
    finally:
        torch.set_float32_matmul_precision("highest")
    another_process()
    peaks.peaks()
    assert len(measurements) == 3


def test_recalibrate_forgets_the_old(measurements) -> None:
    peaks.peaks()
    peaks.peaks(recalibrate=True)
    assert measurements == [None, None]


def test_peaks_of_a_busy_machine_are_measured_again_by_later_processes(measurements, measured) -> None:
    busy = msgspec.structs.replace(measured[0], reason="other programs took 1.5 of 2 cores meanwhile")
    peak_cache.save(busy)
    assert peaks.peaks().tries == 2
    assert measurements == [busy]
    peak_cache.save(msgspec.structs.replace(busy, tries=3))
    another_process()
    assert peaks.peaks().reason is not None
    assert len(measurements) == 1


def test_the_better_figure_of_two_tries_counts(measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_PASSES", 1)
    monkeypatch.setattr(peaks, "_LONG_S", 0.0)
    before = msgspec.structs.replace(
        measured[0], flops={**measured[0].flops, "float32": 1e20, "float64": 1.0}, overhead_us=1e-9
    )
    found = peaks.measure(before.key, torch.device("cpu"), Progress(), before)
    assert found.flops["float32"] == 1e20
    assert found.flops["float64"] > 1e6
    assert found.overhead_us == pytest.approx(1e-9)
    assert found.tries == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"\xff\xfe\x00", b'{"key": {}, "flops": {"float32": "fast"}}']
)
def test_a_broken_file_is_as_good_as_none(measurements, content: bytes) -> None:
    first = peaks.peaks()
    peak_cache.path_of(first.key).write_bytes(content)
    another_process()
    assert peaks.peaks() == first
    another_process()
    assert peaks.peaks() == first
    assert len(measurements) == 2


def test_a_file_of_another_machine_is_not_believed(measurements) -> None:
    first = peaks.peaks()
    other = msgspec.structs.replace(first, key=msgspec.structs.replace(first.key, model="another CPU"))
    peak_cache.path_of(first.key).write_bytes(msgspec.json.encode(other))
    another_process()
    assert peaks.peaks().key.model == first.key.model
    assert len(measurements) == 2


def test_a_cache_that_cannot_be_written_is_no_matter(
    measurements, monkeypatch: pytest.MonkeyPatch, tmp_path, capsys
) -> None:
    # a file where the folder should be: that stops root as well
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JUPYTER_OPTIM_CACHE", str(tmp_path / "file" / "cache"))
    first = peaks.peaks()
    assert peaks.peaks() == first
    assert len(measurements) == 1
    another_process()
    peaks.peaks()
    assert len(measurements) == 2
    assert capsys.readouterr() == ("", "")


def test_no_half_written_file_is_left(measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    first = peaks.peaks()

    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    assert not peak_cache.save(first)
    assert [path.name for path in peak_cache.folder().iterdir()] == [peak_cache.path_of(first.key).name]


def test_the_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JUPYTER_OPTIM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert peak_cache.folder().name == "jupyter-optim"


def test_cancel_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_OPTIM_CACHE", str(tmp_path / "cache"))
    peaks._remembered.cache_clear()
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        peaks.peaks(progress=progress)
    assert not (tmp_path / "cache").exists()


def test_size_of_the_caches(tmp_path: Path) -> None:
    for level, text in enumerate(("48K", "2048K", "36M", "nonsense")):
        (tmp_path / f"index{level}").mkdir()
        (tmp_path / f"index{level}" / "size").write_text(text + "\n")
    assert bandwidth.cache_bytes(tmp_path) == 36 * 2**20
    assert bandwidth.cache_bytes(tmp_path / "missing") is None
