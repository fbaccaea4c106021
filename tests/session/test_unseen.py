"""What works beside a cell is in its report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.report import Finding, Report
from jupyter_optim.session import watch
from tests.beside import burn, busy_thread, loader
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings():
        yield


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))


def report_of(net: nn.Module, run: Callable[[], Any], *, alive: ExitStack | None = None) -> Report:
    with alive or ExitStack(), watch(cell="run()") as seen:
        run()
    return seen.session(net).report


def unseen_work(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == "unseen-work"]


def train(net: nn.Module, batches: Any) -> None:
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()


def test_workers_of_a_data_loader(net: nn.Module) -> None:
    report = report_of(net, lambda: train(net, loader(60, 0.05)))
    (worker,) = report.unseen.workers
    assert (worker.name, worker.process) == ("DataLoader worker", True)
    # on a busy machine the second may only start when the first is done
    assert worker.count in (1, 2)
    assert worker.cpu_s >= 2.9
    (finding,) = unseen_work(report)
    assert "DataLoader worker" in finding.title
    assert f"{report.unseen.share:.0%}" in finding.text
    # it waits for them, and has the cores to spare
    assert "more workers" in finding.text
    assert "Beside the cell, in no op and no line: " in " ".join(str(report).split())
    assert Report.from_json(report.to_json()).unseen.workers[0].count == worker.count


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the CPU time of a thread")
def test_a_thread_of_the_users(net: nn.Module) -> None:
    alive = ExitStack()

    def run() -> None:
        alive.enter_context(busy_thread("augment", 0.3))
        net(torch.ones(2, 64))

    report = report_of(net, run, alive=alive)
    (finding,) = unseen_work(report)
    assert finding.title.startswith("Thread `augment` took 0.3")
    assert "the cell's own thread" in finding.text
    assert "DataLoader" not in finding.text


def test_a_cell_by_itself_has_nothing_to_tell(net: nn.Module) -> None:
    def run() -> None:
        burn(0.3)
        train(net, [(torch.ones(2, 64), torch.ones(2, 8))] * 8)

    report = report_of(net, run)
    assert report.unseen.workers == ()
    assert unseen_work(report) == []
    assert "Beside the cell" not in str(report)


def test_it_stays_that_of_the_cells_run_after_a_change(net: nn.Module) -> None:
    net.eval()

    def run() -> None:
        for x, _ in loader(4, 0.1):
            net(x)

    with watch(cell="run()") as seen, torch.no_grad():
        run()
    session = seen.session(net)
    session.apply("bf16", keep="always")
    assert session.report.unseen == session.baseline.unseen
    assert session.report.unseen.workers[0].process


def test_a_model_without_a_cell_was_not_watched(net: nn.Module) -> None:
    assert jo.optimize(net.eval(), torch.ones(2, 64)).report.unseen is None
