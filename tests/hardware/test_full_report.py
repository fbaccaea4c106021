"""On every machine with NVIDIA's driver, however little that says: a whole report, with reasons, and no zeros."""

from __future__ import annotations

import functools
import html
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jupyter_optim.report import Report
from tests.hardware import stub

pytestmark = pytest.mark.skipif(stub.obstacle() is not None, reason=str(stub.obstacle()))

REPORTER = Path(__file__).with_name("reporter.py")
MACHINES = (*stub.MACHINES, "hangs")
NO_LIBRARY = ("mismatch", "no-driver", "no-permission-at-all", "no-gpu")
"""Their driver tells of no GPU at all."""

FIGURES = {
    "utilisation": "in use", "memory_controller": "memory busy", "memory_used": "memory held", "power": "power",
    "sm_clock": "SM clock", "memory_clock": "memory clock", "temperature": "temperature", "pcie_rx": "PCIe in",
    "pcie_tx": "PCIe out", "memory_total_bytes": "memory in all", "pcie_generation": "PCIe generation",
    "pcie_width": "PCIe lanes", "throttle": "what holds the clocks down",
}  # fmt: skip
UNITS = r"(?:W|J|[MG]Hz|°C|[KMGT]?B(?:/s)?|FLOP(?:/s)?)"
NEIGHBOURS = "sampling|CPU in use|process holds"
"""What may follow a GPU's figures in the terminal."""

NO_FIGURE = re.compile(rf"(?<![\d.,])0(?:\.0+)? ?{UNITS}(?!\w)|\b(?:None(?! for)|nan|inf|null)\b")
"""What would stand for something unknown."""


@dataclass(frozen=True)
class Told:
    """One report, in each of its forms."""

    report: Report
    text: str
    page: str
    data: dict[str, Any]

    def of_gpu(self, index: int = 0) -> str:
        """What the terminal report says of a GPU."""
        (machine,) = re.findall(r"^Machine (.*)$", self.text, re.MULTILINE)
        (found,) = re.findall(rf"; GPU {index} (.*?)(?:; (?:{NEIGHBOURS}) |$)", machine)
        return found


@functools.cache
def told(machine: str) -> dict[str, Told]:
    """What a process on that machine reports of a model on the CPU, and of one on the GPU."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "error:::jupyter_optim", str(REPORTER), machine, folder], capture_output=True,
            text=True, check=False, timeout=300, cwd=REPORTER.parents[2], env=stub.environment(machine),
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return {name: _told(Path(folder), name) for name in ("cpu", "gpu")}


def _told(folder: Path, name: str) -> Told:
    saved = {
        each: (folder / f"{name}.{each}").read_text(encoding="utf-8") for each in ("txt", "html", "json")
    }
    page = re.sub(r"<img[^>]*>", "", saved["html"])
    return Told(
        Report.from_json(saved["json"]), re.sub(r"\n +", " ", saved["txt"]),
        " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split()), json.loads(saved["json"]),
    )  # fmt: skip


def pieces(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in the data, by its path."""
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(data, dict):
        items = iter(data.items())
    elif isinstance(data, list):
        items = iter(enumerate(data))
    else:
        yield path, data
    for key, value in items:
        yield from pieces(value, f"{path}.{key}")


both = pytest.mark.parametrize("place", ["cpu", "gpu"])
everywhere = pytest.mark.parametrize("machine", MACHINES)


@both
@everywhere
def test_the_report_is_whole(machine: str, place: str) -> None:
    found = told(machine)[place]
    report = found.report
    assert report.latency.median_ms > 1
    assert report.latency.low_ms <= report.latency.median_ms <= report.latency.high_ms
    assert report.memory.peak_bytes > report.memory.weights_bytes > 0
    assert report.flops.total > 0
    assert {op.name for op in report.ops} >= {"aten::addmm", "aten::relu"}
    assert [row.path for row in report.modules] == ["", "layer"]
    assert any("time.sleep" in line.text for line in report.lines)
    assert report.findings
    assert report.hardware.samples.count >= 1
    for words in ("median", "peak", "computation", "energy", "aten::addmm", "time.sleep", "Linear"):
        assert words in found.text
        assert words in found.page


@both
@everywhere
def test_no_zero_and_no_none_stands_for_what_is_unknown(machine: str, place: str) -> None:
    found = told(machine)[place]
    assert NO_FIGURE.findall(found.text) == []
    assert NO_FIGURE.findall(found.page) == []
    hardware = found.data["hardware"]["samples"]["gpus"]
    for path, value in pieces([hardware, found.data["environment"]["gpus"], found.data["energy"]]):
        counts = path.endswith((".index", ".calls"))
        assert counts or value != 0 or isinstance(value, bool), path
        assert value != "" or path == ".2.method", path


@both
@everywhere
def test_gpus_are_named_or_it_is_said_why_not(machine: str, place: str) -> None:
    found = told(machine)[place]
    environment = found.report.environment
    for shown in (found.text, found.page):
        setup = shown[shown.rindex(environment.cpu_model) :]
        assert environment.gpu_reason is None or environment.gpu_reason in setup
        for gpu in environment.gpus:
            assert (gpu.name or "the driver does not name it") in setup
            assert gpu.driver is None or f"driver {gpu.driver}" in setup
    assert bool(environment.gpus) == (machine not in NO_LIBRARY)
    assert environment.gpus or environment.gpu_reason
    whole = all(None not in (gpu.name, gpu.uuid, gpu.memory_bytes, gpu.driver) for gpu in environment.gpus)
    assert whole or environment.gpu_reason


@everywhere
def test_beside_a_model_on_the_cpu_no_gpu_is_asked(machine: str) -> None:
    found = told(machine)["cpu"]
    assert found.report.hardware.samples.gpus == ()
    if machine not in NO_LIBRARY:
        assert "GPUs were not watched: the model runs on none" in found.text
        assert "GPUs were not watched: the model runs on none" in found.page


@pytest.mark.parametrize("machine", [each for each in MACHINES if each not in NO_LIBRARY])
def test_each_figure_of_the_gpu_is_told_or_its_reason(machine: str) -> None:
    found = told(machine)["gpu"]
    (gpu,) = found.report.hardware.samples.gpus
    told_of = found.of_gpu(gpu.index)
    assert told_of in found.page
    known, *missing = told_of.split("not available: ")
    for field, words in FIGURES.items():
        value = getattr(gpu, field)
        is_series = hasattr(value, "mean")
        if (value.mean if is_series else value) is None:
            reason = value.reason if is_series else gpu.reasons[field]
            assert any(words in part and reason in part for part in missing), field
        elif field == "pcie_width":
            assert f"{value} PCIe lanes" in known
        elif field == "throttle":
            assert all(f"clocks held down by {cause}" in known for cause in value)
        else:
            assert re.search(rf"{words} [1-9]", known), field


@pytest.mark.parametrize("machine", NO_LIBRARY)
def test_a_model_on_a_gpu_of_which_the_driver_tells_nothing(machine: str) -> None:
    found = told(machine)["gpu"]
    reason = found.report.hardware.samples.gpu_reason
    assert f"GPU not available ({reason})" in found.text
    assert found.report.energy.reason in found.page
    assert found.report.energy.energy_j is None


def test_the_energy_of_a_call_is_that_of_its_time() -> None:
    energy, latency = (told("v100")["gpu"].report.energy, told("v100")["gpu"].report.latency)
    assert energy.status == "measured"
    # the stub's power rises from 100 W by 50 W a second
    assert 100 < energy.power_w < 250
    # of a call as it was while it was metered: a busy machine may have timed it otherwise before
    assert energy.energy_j == pytest.approx(energy.power_w * energy.elapsed_s / energy.calls, rel=1e-3)
    assert energy.elapsed_s / energy.calls > latency.low_ms / 1e3 / 3
    assert f"energy {energy.energy_j:.3g}"[:10] in told("v100")["gpu"].text


def test_it_is_the_slice_that_torch_has() -> None:
    found = told("mig")["gpu"]
    assert "the figures are of the whole GPU" in found.of_gpu()
    assert "slice of a GPU (MIG)" in found.text


def test_a_gpu_that_is_lost_while_it_is_watched_keeps_what_it_said() -> None:
    found = told("lost-later")["gpu"]
    (gpu,) = found.report.hardware.samples.gpus
    assert gpu.power.mean > 100
    assert gpu.power.times_s[-1] < 0.5
    assert "lost" in gpu.power.reason
    assert re.search(
        r"known for a part of the time only: [^(]*power[^(]* \(the GPU no longer answers", found.text
    )
    energy = found.report.energy
    assert energy.status == "estimated"
    assert 100 < energy.power_w < 125
    assert "lost" in energy.reason
    assert "energy about" in found.text
    assert energy.reason in found.page


def test_of_two_gpus_the_one_that_torch_works_on() -> None:
    found = told("two")["gpu"]
    assert [gpu.index for gpu in found.report.hardware.samples.gpus] == [1]
    assert "on NVIDIA H100 80GB HBM3" in found.text.partition("\n")[0]
    assert "Tesla V100-SXM2-16GB" in found.text
    assert "GPU 0 in use" not in found.text


def test_a_driver_that_hangs_is_left_behind() -> None:
    found = told("hangs")["gpu"]
    assert "the sampling broke off" in found.text
    assert "the sampling broke off" in found.page
    (gpu,) = found.report.hardware.samples.gpus
    assert gpu.utilisation.reason == "the driver did not answer"
    assert found.report.hardware.cpu_percent > 0
