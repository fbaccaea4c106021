"""The phases of a training step, on loops whose costs are known."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.profiling.training.phases import training_of
from jupyter_optim.report import Report, Training
from jupyter_optim.session import watch
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """On a busy machine, threads that wait for each other take longer than what they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Slow(Dataset):  # type: ignore[type-arg]
    """Items that take a while to come."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self.spent_s: list[float] = []
        """On each item: a busy machine sleeps longer."""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        began = time.perf_counter()
        time.sleep(self.seconds)
        self.spent_s.append(time.perf_counter() - began)
        return torch.randn(64), torch.randn(8)


def model(depth: int = 1) -> nn.Sequential:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 8))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, batches: Any) -> None:
    loss_of = nn.MSELoss()
    for x, y in batches:
        optimizer.zero_grad()
        loss_of(net(x), y).backward()
        optimizer.step()


def recorded(work: Any) -> Training | None:
    recorder = Recorder(memory=False)
    with ModuleRanges():
        recorder.start()
        work()
        recorder.stop()
    return training_of(recorder.columns())


def report_of(net: nn.Module, work: Any) -> Report:
    with watch(cell="train()") as seen:
        work()
    with short_timings():
        return seen.session(net).report


def test_the_phases_make_up_the_step() -> None:
    net = model()
    found = recorded(lambda: train(net, torch.optim.SGD(net.parameters(), 0.1), DataLoader(Slow(32, 0), 4)))
    assert found is not None
    # of eight, the first makes what the others find
    assert found.steps == 7
    assert [phase.name for phase in found.phases] == ["data", "forward", "backward", "optimizer", "other"]
    assert sum(phase.share for phase in found.phases) == pytest.approx(1)
    assert sum(phase.ms for phase in found.phases) == pytest.approx(found.step_ms)
    assert all(phase.ops for phase in found.phases[:4])


def test_waiting_for_data_is_found_and_told() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    data_set = Slow(24, 0.004)
    report = report_of(net, lambda: train(net, optimizer, DataLoader(data_set, 4)))
    data = report.training.phases[0]
    assert data.name == "data"
    # four items a batch
    assert data.ms == pytest.approx(4e3 * statistics.mean(data_set.spent_s), rel=0.3)
    assert data.share > 0.5
    finding = next(each for each in report.findings if each.kind == "data-loading")
    assert "num_workers" in finding.text


def test_an_optimizer_of_many_small_ops_is_told_of_the_fused_one() -> None:
    net = model(depth=12)
    batches = [(torch.randn(4, 64), torch.randn(4, 8)) for _ in range(5)]
    one_by_one = torch.optim.Adam(net.parameters(), foreach=False, fused=False)
    report = report_of(net, lambda: train(net, one_by_one, batches))
    finding = next(each for each in report.findings if each.kind == "optimizer-ops")
    assert "fused=True" in finding.text
    fused_adam = torch.optim.Adam(net.parameters(), fused=True)
    mended = report_of(net, lambda: train(net, fused_adam, batches))
    assert not [each for each in mended.findings if each.kind == "optimizer-ops"]
    fused = mended.training
    many = next(phase.ops for phase in report.training.phases if phase.name == "optimizer")
    few = next(phase.ops for phase in fused.phases if phase.name == "optimizer")
    assert few < many / 2


def test_a_closure_that_the_optimizer_calls_is_not_the_optimizers_own() -> None:
    net = model()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=2)
    x, y = torch.randn(4, 64), torch.randn(4, 8)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        time.sleep(0.001)
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        return loss

    found = recorded(lambda: optimizer.step(closure))
    assert found is not None
    assert found.steps == 1
    phases = {phase.name: phase for phase in found.phases}
    assert phases["forward"].ms > 0
    assert phases["backward"].ms > 0
    assert sum(phase.share for phase in found.phases) == pytest.approx(1)


def test_what_trains_nothing_has_no_phases() -> None:
    net = model()
    x = torch.randn(4, 64)
    assert recorded(lambda: net(x)) is None
    with torch.no_grad():
        assert report_of(net, lambda: net(x)).training is None
