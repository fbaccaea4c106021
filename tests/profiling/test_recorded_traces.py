"""Traces that `recorded/record.py` wrote on an NVIDIA H200, against sums made here from the raw events."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import jupyter_optim as jo
from jupyter_optim.report import GpuTime, Report

FOLDER = Path(__file__).with_name("recorded")
NAMES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))


@dataclass
class Recorded:
    """A trace as it was recorded, and our report of it."""

    name: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json.gz"

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(gzip.decompress(self.path.read_bytes()))["traceEvents"]
        return found

    @cached_property
    def report(self) -> Report:
        return jo.open_trace(self.path)

    @property
    def gpu(self) -> GpuTime:
        assert self.report.gpu is not None
        return self.report.gpu

    def of(self, category: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("cat") == category]

    @property
    def calls(self) -> int:
        return len(
            {each["name"] for each in self.of("user_annotation") if each["name"].startswith("ProfilerStep#")}
        )

    def ms(self, *words: str) -> float:
        """Of the kernels whose names hold one of `words`, of all if there are none, in one call."""
        kernels = [
            each for each in self.of("kernel") if not words or any(word in each["name"] for word in words)
        ]
        return sum(each["dur"] for each in kernels) / self.calls / 1e3


@pytest.fixture(scope="module")
def recorded() -> dict[str, Recorded]:
    return {name: Recorded(name) for name in NAMES}


def test_there_are_traces_of_each_trouble() -> None:
    expected = {"bfloat16", "compiled", "convolutions", "launches", "streams", "training", "waits"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_those_of_the_raw_events(recorded: dict[str, Recorded], name: str) -> None:
    trace = recorded[name]
    report, gpu = trace.report, trace.gpu
    assert [each.name for each in report.environment.gpus] == ["NVIDIA H200"]
    assert gpu.launches == pytest.approx(len(trace.of("kernel")) / trace.calls)
    assert sum(each.ms for each in gpu.kernels) == pytest.approx(trace.ms(), rel=1e-6)
    copied = (
        sum(each["dur"] for each in (*trace.of("gpu_memcpy"), *trace.of("gpu_memset"))) / trace.calls / 1e3
    )
    assert gpu.busy_ms + gpu.overlap_ms == pytest.approx(trace.ms() + copied, rel=1e-3)
    # each piece of work has an op, a module, and a reason for what is between it and the next
    assert sum(op.self_ms for op in report.ops) == pytest.approx(gpu.busy_ms, rel=1e-3)
    assert sum(row.self_ms for row in report.modules) == pytest.approx(gpu.busy_ms, rel=1e-3)
    assert sum(each.ms for each in gpu.idle) == pytest.approx(gpu.idle_ms, rel=1e-6)
    assert gpu.busy_ms + gpu.idle_ms == pytest.approx(report.trace.call_ms)
    assert all(kernel.op for kernel in gpu.kernels)
    assert gpu.occupancy is not None
    assert 0 < gpu.sm_share <= 1


def test_convolutions_in_tf32_are_on_tensor_cores(recorded: dict[str, Recorded]) -> None:
    trace = recorded["convolutions"]
    on_cores = trace.ms("tf32f32")
    assert on_cores > 0
    beside = trace.ms("f32f32_f32f32", "simt", "sgemm", "gemmSN", "gemv", "convolve")
    assert trace.gpu.tensor_core_share == pytest.approx(on_cores / (on_cores + beside), abs=1e-3)


def test_bfloat16_is_on_tensor_cores(recorded: dict[str, Recorded]) -> None:
    assert recorded["bfloat16"].gpu.tensor_core_share == 1.0


def test_two_streams_share_the_time(recorded: dict[str, Recorded]) -> None:
    trace = recorded["streams"]
    spans = sorted((each["ts"], each["ts"] + each["dur"]) for each in trace.of("kernel"))
    union, reach = 0.0, 0.0
    for begin, end in spans:
        union += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    assert trace.gpu.busy_ms == pytest.approx(union / trace.calls / 1e3, rel=1e-6)
    assert len(trace.gpu.streams) == 2
    modules = {row.path: row.total_ms for row in trace.report.modules}
    # three products of the same size each: at once, so each half has half of the time
    assert modules["left"] == pytest.approx(modules["right"], rel=0.2)
    assert modules["left"] + modules["right"] < trace.gpu.busy_ms


def test_waits_and_copies(recorded: dict[str, Recorded]) -> None:
    gpu = recorded["waits"].gpu
    copies = {(each.kind, each.pageable): (each.calls, each.bytes) for each in gpu.copies}
    assert copies["host to device", True] == (1, 256 * 512 * 4)
    assert copies["device to host", True] == (1, 256 * 512 * 4)
    # a number after each of four layers
    assert copies["device to host", False] == (4, 4 * 4)
    waited = next(each for each in gpu.idle if each.reason == "synchronisation")
    assert waited.gaps >= 4
    assert waited.share > 0.3
    assert "synchronisation" in {finding.kind for finding in recorded["waits"].report.findings}


def test_thirty_small_layers_wait_for_their_launches(recorded: dict[str, Recorded]) -> None:
    report, gpu = recorded["launches"].report, recorded["launches"].gpu
    assert (gpu.launches, gpu.tensor_core_share) == (30, 0.0)
    assert next(each for each in gpu.idle if each.reason == "launch").share > 0.8
    finding = next(each for each in report.findings if each.kind == "launch-bound")
    assert finding.severity == "high"


def test_compiled_kernels_have_their_module(recorded: dict[str, Recorded]) -> None:
    report, gpu = recorded["compiled"].report, recorded["compiled"].gpu
    fused = next(each for each in gpu.kernels if each.name.startswith("triton_"))
    assert fused.op == fused.name
    assert {row.path: round(row.total_ms, 6) for row in report.modules} == {"model": round(gpu.busy_ms, 6)}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_told_in_html_text_and_json(recorded: dict[str, Recorded], name: str, tmp_path: Path) -> None:
    report = recorded[name].report
    page = report.save(tmp_path / "trace.html").read_text()
    assert "What the GPU did in a call" in page or "What the GPU did in a step" in page
    assert "NVIDIA H200" in str(report)
    assert jo.Report.from_json(report.to_json()).to_json() == report.to_json()
