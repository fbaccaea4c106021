"""What holds much memory is said, with what would help."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace
from torch import nn

import jupyter_optim as jo
from jupyter_optim.analysis.findings.memory import training_hogs
from jupyter_optim.report import Finding, Holder, Report
from jupyter_optim.session import watch
from tests.render.samples import trained
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings():
        yield


def finding(report: Report, kind: str) -> Finding | None:
    return next((each for each in report.findings if each.kind == kind), None)


class HandWritten(nn.Module):
    """Attention whose scores are far larger than all else."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return torch.softmax(q @ k.transpose(-1, -2), -1) @ v


def test_scores_of_an_attention_are_a_hog() -> None:
    # GIVEN 4 MB of inputs and weights, and scores of 2 x 1,536 x 1,536 numbers, some 19 MB, twice
    with torch.inference_mode():
        report = jo.optimize(HandWritten().eval(), torch.randn(2, 1536, 16)).report
    found = finding(report, "memory-hog")
    # THEN the op is named, and what would help
    assert found is not None
    assert "softmax" in found.title or "bmm" in found.title
    assert "scaled_dot_product_attention" in found.text
    assert "test_memory_findings.py" in found.text


def test_a_model_whose_weights_are_most_has_no_hog() -> None:
    with torch.inference_mode():
        report = jo.optimize(nn.Linear(4096, 1024).eval(), torch.randn(2, 4096)).report
    assert finding(report, "memory-hog") is None


def test_an_optimizers_state_is_seen_in_a_training() -> None:
    # GIVEN a wide layer on a small batch: Adam's two numbers for each of 4 million weights are 34 MB
    net = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 4))
    optimizer = torch.optim.Adam(net.parameters())
    gc.collect()  # tensors of tests before this one, freed meanwhile, would be counted against it

    def run() -> None:
        for _ in range(4):
            optimizer.zero_grad()
            net(torch.randn(2, 2048)).sum().backward()
            optimizer.step()

    with watch(cell="run()") as seen:
        run()
    report = seen.session(net).report
    assert report.training is not None
    held = {each.kind: each.bytes for each in report.training.at_peak}
    assert held["optimizer state"] == pytest.approx(2 * 4 * (2048 * 2049 + 2049 * 4 - 4), rel=0.05)


def test_what_holds_most_of_a_training_is_named_with_what_would_help() -> None:
    report = trained()
    training = report.training
    state = Holder(kind="optimizer state", bytes=400_000_000, blocks=20)
    weights = Holder(kind="weights", bytes=200_000_000, blocks=10)
    heavy = replace(training, at_peak=(state, weights), peak_bytes=700_000_000)
    (found,) = training_hogs(replace(report, training=heavy))
    assert found.title == "57% of the training's memory is optimizer state"
    assert "SGD" in found.text
    # the weights are what is trained, and a few bytes are nobody's trouble
    assert list(training_hogs(replace(report, training=replace(heavy, at_peak=(weights,))))) == []
    small = replace(heavy, at_peak=(replace(state, bytes=4_000_000),), peak_bytes=7_000_000)
    assert list(training_hogs(replace(report, training=small))) == []
