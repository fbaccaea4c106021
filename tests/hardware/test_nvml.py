"""Machines with NVIDIA GPUs that answer little, or wrongly: whatever is missing has a reason, and nothing is 0."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_optim.hardware.gpu import throttle_words
from jupyter_optim.hardware.nvml import Refusal, number
from tests.hardware import stub

needs_stub = pytest.mark.skipif(stub.obstacle() is not None, reason=str(stub.obstacle()))

SERIES = ("utilisation", "memory_controller", "memory_used", "power", "sm_clock", "memory_clock", "temperature",
          "pcie_rx", "pcie_tx")  # fmt: skip
PLAIN = ("name", "memory_total_bytes", "pcie_generation", "pcie_width", "throttle")


def gpu_of(machine: str) -> dict[str, Any]:
    (gpu,) = stub.answers(machine)["samples"]["gpus"]
    return gpu


@needs_stub
@pytest.mark.parametrize("machine", stub.MACHINES)
def test_whatever_is_missing_has_a_reason_and_nothing_is_zero(machine: str) -> None:
    found = stub.answers(machine)
    environment, samples, energy = found["environment"], found["samples"], found["energy"]
    assert environment["gpus"] or environment["gpu_reason"]
    for gpu in environment["gpus"]:
        assert environment["gpu_reason"] or None not in gpu.values()
        assert 0 not in (gpu["memory_bytes"], gpu["name"])
    assert samples["gpus"] or samples["gpu_reason"]
    for gpu in samples["gpus"]:
        for name in SERIES:
            series = gpu[name]
            assert (series["mean"] is None) == (series["values"] == [])
            assert series["mean"] is not None or series["reason"], name
            assert series["mean"] is None or series["low"] > 0, name
        for name in PLAIN:
            assert gpu[name] is not None or gpu["reasons"][name], name
            assert gpu[name] != 0, name
    assert 0 <= samples["cpu"]["mean"] <= 100
    assert samples["reason"] is None
    assert (energy["energy_j"] is None) == (energy["status"] == "unavailable")
    assert energy["energy_j"] is not None or energy["reason"]
    assert energy["energy_j"] is None or (energy["energy_j"] > 0 and energy["method"])


@needs_stub
@pytest.mark.parametrize("machine", stub.MACHINES)
def test_the_library_is_closed_and_no_thread_is_left(machine: str) -> None:
    found = stub.answers(machine)
    assert found["still_open"] == 0
    assert found["threads"] == 1


@needs_stub
def test_what_the_driver_tells_of_a_longer_time_is_not_told_of_a_short_one() -> None:
    (gpu,) = stub.answers("v100")["brief samples"]["gpus"]
    for sensor in ("utilisation", "memory_controller"):
        assert gpu[sensor]["mean"] is None
        assert (
            gpu[sensor]["reason"]
            == "the timing was shorter than the 1/6 s or more of which the driver tells this"
        )
    assert gpu["sm_clock"]["mean"] == 1380


@needs_stub
def test_a_v100_answers_everything() -> None:
    found = stub.answers("v100")
    environment, gpu = found["environment"], gpu_of("v100")
    assert environment["gpu_reason"] is None
    assert environment["gpus"][0]["driver"] == "525.105.17"
    assert gpu["name"] == "Tesla V100-SXM2-16GB"
    assert gpu["utilisation"]["mean"] == 87
    assert gpu["memory_controller"]["mean"] == 43
    assert gpu["memory_used"]["mean"] == 2**30
    assert gpu["memory_total_bytes"] == 16_945_512_448
    assert 100 < gpu["power"]["low"] < gpu["power"]["high"] < 200
    assert (gpu["sm_clock"]["mean"], gpu["memory_clock"]["mean"], gpu["temperature"]["mean"]) == (
        1380,
        877,
        61,
    )
    assert (gpu["pcie_rx"]["mean"], gpu["pcie_tx"]["mean"]) == (3400, 1200)
    assert (gpu["pcie_generation"], gpu["pcie_width"]) == (3, 16)
    assert gpu["throttle"] == {"power limit": 1.0}
    assert gpu["reasons"] == {}
    assert gpu["note"] is None


@needs_stub
def test_a_sliced_gpu_says_that_it_is_one() -> None:
    found = stub.answers("mig")
    assert "MIG" in found["environment"]["gpu_reason"]
    assert "MIG" in gpu_of("mig")["note"]
    assert found["known"]["slices"] == [
        "MIG-00000000-aaaa-bbbb-cccc-000000000000", "MIG-11111111-aaaa-bbbb-cccc-111111111111",
    ]  # fmt: skip
    assert "slice" in found["energy"]["reason"]


@needs_stub
def test_under_wsl_the_sign_for_unknown_memory_is_no_memory() -> None:
    assert stub.answers("wsl")["environment"]["gpus"][0]["memory_bytes"] is None
    assert "not available" in stub.answers("wsl")["environment"]["gpu_reason"]
    assert gpu_of("wsl")["memory_used"]["mean"] is None
    assert gpu_of("wsl")["memory_total_bytes"] is None
    assert gpu_of("wsl")["temperature"]["mean"] == 61


@needs_stub
@pytest.mark.parametrize(
    ("machine", "word"),
    [("lost", "lost"), ("mismatch", "versions"), ("no-driver", "not loaded"), ("no-permission", "forbids"),
     ("no-permission-at-all", "forbids"), ("no-handle", "forbids"), ("not-supported", "does not tell"),
     ("no-gpu", "counts no GPU")],
)  # fmt: skip
def test_the_reason_says_what_is_the_matter(machine: str, word: str) -> None:
    found = stub.answers(machine)
    samples = found["samples"]
    power = samples["gpus"][0]["power"]["reason"] if samples["gpus"] else samples["gpu_reason"]
    assert word in power
    assert not samples["gpus"] or word in samples["gpus"][0]["reasons"]["throttle"]
    assert word in found["environment"]["gpu_reason"]
    assert word in found["energy"]["reason"] or machine == "no-gpu"


@needs_stub
def test_a_gpu_that_is_lost_on_the_way_keeps_what_it_said() -> None:
    power = gpu_of("lost-later")["power"]
    assert power["mean"] is not None
    assert "lost" in power["reason"]


@needs_stub
def test_an_answer_of_zero_that_cannot_be_is_no_answer() -> None:
    gpu = gpu_of("zeros")
    assert gpu["power"]["mean"] is None
    assert "cannot be" in gpu["power"]["reason"]
    assert gpu["pcie_width"] is None


@needs_stub
def test_a_name_that_is_no_text_does_no_harm() -> None:
    assert gpu_of("odd-name")["power"]["mean"] > 0
    assert "name" in stub.answers("odd-name")["environment"]["gpu_reason"]


def test_throttle_causes_in_words() -> None:
    assert throttle_words(0) == frozenset()
    assert throttle_words(0x1) == frozenset()
    assert throttle_words(0x4 | 0x40) == {"power limit", "too hot (hardware)"}
    assert throttle_words(0x1 | 0x8000) == {"cause 0x8000"}


def test_signs_for_unknown() -> None:
    assert isinstance(number(2**64 - 1, zero=True), Refusal)
    assert isinstance(number(2**32 - 1, zero=True), Refusal)
    assert isinstance(number(0, zero=False), Refusal)
    assert number(0, zero=True) == 0
    assert number(5, zero=False) == 5
