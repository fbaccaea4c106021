"""How `compile` chooses its mode, what it predicts, and whose its outputs are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.compiled_call import GRAPHS, compiled_call
from jupyter_optim.progress import Progress
from jupyter_optim.report import GpuTime
from jupyter_optim.techniques.compile import Compile
from jupyter_optim.techniques.subject import Subject
from tests.techniques.untimed import subject_of
from tests.zoo.timings import short_timings


def on_gpu(busy: float) -> Subject:
    """A small model, with the report of one that keeps a GPU busy in `busy` of a call of 10 ms."""
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval()
    subject = subject_of(model, torch.randn(2, 8))
    gpu = GpuTime(
        busy_ms=10 * busy, idle_ms=10 * (1 - busy), busy_share=busy, overlap_ms=0.0, launches=80.0, tensor_core_share=None,
        occupancy=None, sm_share=None, kernels=(), copies=(), streams=(), idle=(), method="made up",
    )  # fmt: skip
    trace = msgspec.structs.replace(subject.report.trace, call_ms=10.0, unattributed_ms=10 * (1 - busy))
    subject.report = msgspec.structs.replace(subject.report, gpu=gpu, trace=trace, ops=())
    return subject


@pytest.mark.parametrize(
    ("busy", "mode", "arguments", "predicted"),
    [
        # a GPU that waits for Python: its kernels are recorded as one graph
        (0.25, "auto", {"mode": "reduce-overhead"}, 1 / (1 - 0.95 * 0.75)),
        (0.95, "auto", {}, 1 / (1 - 0.5 * 0.05)),
        # what the user asks for is what is done
        (0.25, "default", {}, None),
        (0.95, "reduce-overhead", {"mode": "reduce-overhead"}, None),
    ],
)
def test_kernels_are_recorded_where_the_gpu_waits(
    busy: float, mode: str, arguments: dict[str, str], predicted: float | None
) -> None:
    subject = on_gpu(busy)
    change = Compile().transform(subject.model, subject, {"mode": mode}, Progress())
    assert change.compiled == arguments
    assert change.facts["arguments"] == arguments
    source = Compile().source({"mode": mode}, change.facts)
    assert ("clone what you keep" in source) == bool(arguments)
    compile(source, "source", "exec")
    if predicted is not None:
        judged = Compile().judge(subject)
        assert judged.predicted_speedup == pytest.approx(predicted)
        assert ("CUDA graph" in judged.reason) == bool(arguments)


def test_on_a_cpu_nothing_is_recorded() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval()
    with torch.no_grad(), short_timings():
        session = jo.optimize(model, torch.randn(2, 8))
        step = session.apply("compile", keep="always")
    assert step.accepted, step.reason
    assert "reduce-overhead" not in session.code()
    assert "CUDA" not in session.assessments["compile"].reason


def test_outputs_of_a_recorded_call_are_copies_in_their_own_containers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN compiled code that writes its output to the same memory at each call, as a CUDA graph does
    output = torch.empty(3)

    def compiled(x: torch.Tensor) -> dict[str, Any]:
        return {"twice": (torch.mul(x, 2, out=output), "note")}

    compiled._torchdynamo_orig_callable = compiled  # type: ignore[attr-defined]
    monkeypatch.setattr(torch, "compile", lambda call, **_: compiled)
    monkeypatch.setattr("jupyter_optim.compiled_call._own", torch.clone)  # there are no CUDA tensors here
    call = compiled_call(nn.ReLU(), {"mode": GRAPHS})
    # WHEN it is called twice, THEN the first output stays
    first, second = call(torch.ones(3)), call(torch.full((3,), 5.0))
    assert torch.equal(first["twice"][0], torch.full((3,), 2.0))
    assert torch.equal(second["twice"][0], torch.full((3,), 10.0))
    assert first["twice"][1] == "note"
    # AND without graphs nothing is copied
    plain = compiled_call(nn.ReLU(), {})
    assert plain(torch.ones(3))["twice"][0] is output
