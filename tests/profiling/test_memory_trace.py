"""Who holds the memory at the peak, on models whose tensors can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.profiling.memory.peak import Peak, peak_of
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.record import Recorder
from tests.zoo.timings import short_timings

MB = 4 * 256 * 1024
"""Bytes of a (256, 1024) float32 tensor, which all layers below give out."""


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1024, 1024)
        self.second = nn.Linear(1024, 1024)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.first(x))
        return torch.tanh(self.second(h))


def report_of(model: nn.Module, *, grad: bool) -> jo.Report:
    with short_timings(), torch.set_grad_enabled(grad):
        return jo.optimize(model, torch.randn(256, 1024)).report


def test_without_gradients_only_what_is_needed_next_is_held() -> None:
    memory = report_of(Wide().eval(), grad=False).memory
    # three at a time: what `h` holds until the end, the second layer's output, and its tanh
    assert memory.activations_bytes == 3 * MB
    assert sum(each.bytes for each in memory.at_peak) == memory.peak_bytes
    assert {each.kind: each.bytes for each in memory.at_peak} == {
        "weights": memory.weights_bytes, "inputs": MB, "activations": 3 * MB,
    }  # fmt: skip


def test_with_gradients_every_activation_stays() -> None:
    memory = report_of(Wide(), grad=True).memory
    assert memory.activations_bytes == pytest.approx(3 * MB, rel=0.05)
    assert {each.module for each in memory.holders if each.bytes == MB} >= {"second", ""}


def test_the_holders_have_the_op_and_the_line() -> None:
    memory = report_of(Wide().eval(), grad=False).memory
    top = memory.holders[0]
    assert (top.op, top.kind, top.bytes) in [
        ("aten::tanh", "activations", MB),
        ("aten::addmm", "activations", MB),
    ]
    assert "test_memory_trace.py:" in top.line


def test_the_timeline_has_the_peak_and_the_whole_call() -> None:
    memory = report_of(nn.Sequential(*[Wide() for _ in range(30)]).eval(), grad=False).memory
    assert max(point.bytes for point in memory.timeline) == memory.peak_bytes
    assert len(memory.timeline) <= 125
    times = [point.ms for point in memory.timeline]
    assert times == sorted(times)


def step(optimizer: type[torch.optim.Optimizer]) -> tuple[Peak, int]:
    """The peak of a whole training step, and the bytes of its weights."""
    model = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.Linear(1024, 1024, bias=False))
    optim, x = optimizer(model.parameters()), torch.randn(32, 1024)
    ranges, recorder = ModuleRanges(), Recorder(memory=True)
    with ranges:
        recorder.start()
        model(x).sum().backward()
        optim.step()
        recorder.stop()
    columns = recorder.columns()
    end = int((columns.start + columns.duration).max())
    peak = peak_of(columns, 0, end, paths=[None] * len(ranges.modules), line_names=())
    assert peak is not None
    return peak, sum(p.numel() * 4 for p in model.parameters())


def test_a_training_step_has_gradients_and_the_optimizers_state() -> None:
    peak, weights = step(torch.optim.Adam)
    kinds = {each.kind: each.bytes for each in peak.kinds}
    assert kinds["gradients"] == pytest.approx(weights, rel=0.02)
    assert kinds["optimizer state"] == pytest.approx(2 * weights, rel=0.02)
    assert sum(kinds.values()) == peak.bytes


def test_plain_sgd_has_no_state() -> None:
    peak, weights = step(torch.optim.SGD)
    kinds = {each.kind: each.bytes for each in peak.kinds}
    assert kinds["gradients"] == pytest.approx(weights, rel=0.05)
    assert "optimizer state" not in kinds
