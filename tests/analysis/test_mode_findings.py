"""A model that is called as for training where nothing is trained: what is said, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace
from torch import nn
from torch.nn import functional as F  # noqa: N812

import jupyter_optim as jo
from jupyter_optim.analysis.findings import find
from jupyter_optim.report import Finding, Holder, Report
from jupyter_optim.session import watch
from tests.render.samples import bert
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings():
        yield


def finding(report: Report, kind: str) -> Finding | None:
    return next((each for each in report.findings if each.kind == kind), None)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 4))


class Functional(nn.Module):
    """Dropout as a function that never looks at the mode: a common mistake, and no layer of it in sight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.3)


def test_train_mode_without_training_tells_what_is_active_and_what_it_costs() -> None:
    with torch.no_grad():
        report = jo.optimize(net().train(), torch.randn(256, 64)).report
    found = finding(report, "train-mode")
    assert found is not None
    assert "with gradients off: dropout is active and takes" in found.text
    assert "BatchNorm uses the statistics of each batch" in found.text
    assert found.evidence == ("1 dropout layer", "1 BatchNorm layer")
    assert found.modules == ("3", "1")


def test_dropout_that_is_no_layer_counts() -> None:
    with torch.no_grad():
        report = jo.optimize(Functional().train(), torch.randn(64, 1024)).report
    found = finding(report, "train-mode")
    assert found is not None
    assert "dropout is active and takes" in found.text


def test_a_model_that_answers_the_same_in_train_mode_is_a_lesser_matter() -> None:
    with torch.no_grad():
        report = jo.optimize(nn.Sequential(nn.Linear(8, 8), nn.ReLU()).train(), torch.randn(2, 8)).report
    found = finding(report, "train-mode")
    assert found is not None
    assert found.severity == "low"
    assert "no dropout or BatchNorm" in found.text


@pytest.mark.parametrize("mode", [True, False])
def test_gradients_without_a_backward_pass_are_told_with_their_memory(mode: bool) -> None:
    # GIVEN a cell that calls a model twice, and trains nothing
    model, x = net().train(mode), torch.randn(64, 64)
    with watch(cell="model(x)") as seen:
        model(x)
    report = seen.session(model).report
    # THEN the one or the other finding says what to do
    found = [each for each in report.findings if each.kind in ("gradients", "memory-for-gradients")]
    assert len(found) == 1
    assert "torch.inference_mode()" in found[0].text
    assert (finding(report, "train-mode") is not None) == mode


def test_a_training_is_left_in_peace() -> None:
    model, x = net().train(), torch.randn(64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def run() -> None:
        for _ in range(2):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()

    with watch(cell="run()") as seen:
        run()
    report = seen.session(model).report
    kinds = {each.kind for each in report.findings}
    assert not kinds & {"train-mode", "gradients", "memory-for-gradients"}


@pytest.mark.parametrize(
    ("training", "grad", "trains", "kinds"),
    [
        (False, False, False, set()),
        (False, True, False, {"gradients"}),
        (False, True, None, {"gradients"}),
        (False, True, True, set()),
        (True, False, False, {"train-mode"}),
        (True, True, False, {"train-mode", "gradients"}),
        (True, True, True, set()),
    ],
)
def test_what_is_said_depends_on_mode_gradients_and_training(
    training: bool, grad: bool, trains: bool | None, kinds: set[str]
) -> None:
    report = bert()
    workload = replace(report.workload, training=training, grad=grad, trains=trains)
    found = {each.kind for each in find(replace(report, workload=workload))}
    assert found & {"train-mode", "gradients"} == kinds


def test_the_memory_that_waits_is_in_the_sentence() -> None:
    report = bert()
    waiting = (Holder(kind="activations", bytes=20_000_000, blocks=9),)
    report = replace(
        report, workload=replace(report.workload, grad=True), memory=replace(report.memory, at_peak=waiting)
    )
    (found,) = [each for each in find(report) if each.kind == "gradients"]
    assert "(20 MB at the peak)" in found.text
