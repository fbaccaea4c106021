"""What takes each phase of a training step, and who holds the memory, in cells of known structure."""

from __future__ import annotations

import importlib
import linecache
import textwrap
import time
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from jupyter_optim.profiling.lines.user_code import Cell
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.report import Phase, Report, Training
from jupyter_optim.session import watch
from tests.zoo.timings import short_timings

CELL = "<training cell>"


def cell_of(filename: str) -> Cell | None:
    return Cell("this cell") if filename == CELL else None


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """On a busy machine, threads that wait for each other take longer than what they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # torch imports its compiler at the first optimizer, which takes seconds
    torch.optim.SGD(nn.Linear(1, 1).parameters())
    yield
    torch.set_num_threads(before)


def trained(source: str, **names: Any) -> Report:
    text = textwrap.dedent(source).strip() + "\n"
    linecache.cache[CELL] = (len(text), None, text.splitlines(True), CELL)
    names |= {
        "torch": torch,
        "nn": nn,
        "checkpoint": checkpoint,
        "DataLoader": DataLoader,
        "Dataset": Dataset,
    }
    with watch(cell=text, cell_of=cell_of) as seen:
        exec(compile(text, CELL, "exec"), names)
    with short_timings():
        return seen.session(names["model"]).report


def phases_of(training: Training | None) -> dict[str, Phase]:
    assert training is not None
    for phase in training.phases:
        for parts in (phase.top_ops, phase.top_modules, phase.top_lines):
            assert len(parts) <= 8
            assert all(0.01 <= part.share <= 1 for part in parts)
            assert sum(part.share for part in parts) <= 1 + 1e-9
            assert [part.share for part in parts] == sorted((part.share for part in parts), reverse=True)
            assert all(part.ms == pytest.approx(part.share * phase.ms) for part in parts)
    assert sum(phase.share for phase in training.phases) == pytest.approx(1)
    return {phase.name: phase for phase in training.phases}


def kinds_of(training: Training) -> dict[str, int]:
    return {each.kind: each.bytes for each in training.at_peak}


def bytes_of(model: nn.Module) -> int:
    return sum(4 * parameter.numel() for parameter in model.parameters())


LOOP = """
optimizer = torch.optim.Adam(model.parameters())
for _ in range(5):
    optimizer.zero_grad()
    out = model(x)
    loss = out.square().mean()
    loss.backward()
    optimizer.step()
"""


def test_the_wide_layer_and_the_line_that_calls_it_take_the_forward_and_the_backward() -> None:
    model = nn.Sequential(nn.Linear(1024, 1024), nn.Linear(1024, 2))
    phases = phases_of(trained(LOOP, model=model, x=torch.randn(256, 1024)).training)
    assert list(phases) == ["forward", "backward", "optimizer", "other"]
    for name, op in (("forward", "aten::addmm"), ("backward", "aten::mm")):
        top = phases[name]
        assert (top.top_modules[0].name, top.top_lines[0].name) == ("0", "this cell:4")
        assert top.top_modules[0].share > 0.5
        assert top.top_lines[0].share > 0.9
        assert top.top_ops[0].name == op
    assert phases["optimizer"].top_lines[0].name == "this cell:7"
    assert phases["optimizer"].top_modules == ()
    assert {part.name for part in phases["other"].top_lines} >= {"this cell:5"}


def test_memory_at_the_peak_of_a_training_with_adam() -> None:
    model, x = nn.Sequential(nn.Linear(512, 1024), nn.Linear(1024, 64)), torch.randn(16, 512)
    report = trained(LOOP, model=model, x=x)
    weights, held = bytes_of(model), kinds_of(report.training)
    # two moments for each weight, and a count of steps for each parameter
    assert held["optimizer state"] == 2 * weights + 4 * len(list(model.parameters()))
    assert held["gradients"] == weights
    assert held["weights"] == weights
    assert sum(held.values()) == report.training.peak_bytes
    # two more for the larger layer while it is stepped; `out`; and nothing of our own copy of `x`
    assert held["temporaries"] == pytest.approx(2 * 4 * 512 * 1024, abs=64)
    assert held["activations"] == 4 * 16 * 64
    assert set(held) <= {
        "weights",
        "gradients",
        "optimizer state",
        "temporaries",
        "activations",
        "other tensors",
    }
    assert held.get("other tensors", 0) < 64


def test_the_weights_count_once_when_the_cell_makes_the_model_itself() -> None:
    source = "model = nn.Sequential(nn.Linear(512, 1024), nn.Linear(1024, 64))\n" + LOOP.strip()
    report = trained(source, x=torch.randn(16, 512))
    held, weights = kinds_of(report.training), 4 * (512 * 1024 + 1024 + 1024 * 64 + 64)
    assert held["weights"] == weights
    assert held["optimizer state"] == 2 * weights + 4 * 4
    assert sum(held.values()) == report.training.peak_bytes
    assert report.training.peak_bytes < 6 * weights


def test_each_phase_has_the_most_that_it_held() -> None:
    source = LOOP.replace("Adam(model.parameters())", "SGD(model.parameters(), 0.1)")
    model, x = nn.Sequential(nn.Linear(1024, 256), nn.Sigmoid()), torch.randn(1024, 1024)
    phases = phases_of(trained(source, model=model, x=x).training)
    activation, weights = 4 * 1024 * 256, bytes_of(model)
    # `out` of the step before, the layer's output, and its Sigmoid; a few bytes are the loss and its gradient
    assert phases["forward"].peak_bytes == pytest.approx(3 * activation, abs=16)
    # `out`, the mean's gradient, and what the square's takes: a power, its double, and their product
    assert phases["backward"].peak_bytes == pytest.approx(5 * activation, abs=16)
    # `out`, and the weights' gradients
    assert phases["optimizer"].peak_bytes == pytest.approx(activation + weights, abs=16)
    assert phases["other"].peak_bytes is None


def test_a_slow_dataset_is_told_by_its_line() -> None:
    source = """
    import time
    class Slow(Dataset):
        def __len__(self):
            return 20
        def __getitem__(self, index):
            time.sleep(0.003)
            return torch.randn(32)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for batch in DataLoader(Slow(), 4):
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()
    """
    report = trained(source, model=nn.Linear(32, 4))
    phases = phases_of(report.training)
    assert report.training.steps == 4
    assert phases["data"].top_lines[0].name == "this cell:6"
    assert phases["data"].top_lines[0].share > 0.8
    assert "DataLoader" not in (report.training.reason or "")


def test_without_a_loader_the_data_are_not_said_to_take_no_time() -> None:
    report = trained(LOOP, model=nn.Linear(8, 2), x=torch.randn(4, 8))
    assert "data" not in phases_of(report.training)
    assert "DataLoader" in report.training.reason


def test_accumulated_gradients_are_one_step_and_held_once() -> None:
    source = """
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(4):
        for part in x.chunk(2):
            model(part).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    """
    model = nn.Linear(1024, 512, bias=False)
    report = trained(source, model=model, x=torch.randn(8, 1024))
    phases, held = phases_of(report.training), kinds_of(report.training)
    assert report.training.steps == 3
    plain = phases_of(trained(LOOP, model=nn.Linear(1024, 512, bias=False), x=torch.randn(8, 1024)).training)
    assert phases["forward"].ops == 2 * plain["forward"].ops
    assert phases["backward"].top_modules[0].name == ""
    assert phases["backward"].top_lines[0].name == "this cell:4"
    # those of the first part stay, and those of the second are there until they are added
    assert held["gradients"] == bytes_of(model)
    assert held["temporaries"] == pytest.approx(bytes_of(model), rel=0.05)
    assert "optimizer state" not in held


def test_a_closures_forward_and_backward_are_told_by_its_lines() -> None:
    source = """
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss
    optimizer.step(closure)
    """
    model = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 2))
    report = trained(source, model=model, x=torch.randn(256, 512))
    phases = phases_of(report.training)
    assert report.training.steps == 1
    for name in ("forward", "backward"):
        assert phases[name].top_lines[0].name == "this cell:4"
        assert phases[name].top_modules[0].name == "0"
    held = kinds_of(report.training)
    # the direction and the last gradient at least, in one vector of all weights each
    assert held["optimizer state"] >= 2 * bytes_of(model)
    # the backward of a closure is within the step
    assert held["gradients"] == bytes_of(model)


def test_what_a_checkpoint_computes_again_is_the_backwards() -> None:
    source = LOOP.replace("model(x)", "checkpoint(model, x, use_reentrant=False)")
    model, x = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 512)), torch.randn(128, 512)
    phases = phases_of(trained(source, model=model, x=x).training)
    plain = phases_of(trained(LOOP, model=model, x=x).training)
    assert phases["forward"].ops == plain["forward"].ops
    assert {part.name for part in phases["backward"].top_ops} >= {"aten::addmm", "aten::mm"}
    modules = {part.name: part.share for part in phases["backward"].top_modules}
    assert modules["0"] + modules["1"] > 0.8
    assert phases["backward"].top_lines[0].name == "this cell:4"


def test_a_backward_of_ones_own_is_told_by_its_lines() -> None:
    source = """
    import time
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            return 2 * v
        @staticmethod
        def backward(ctx, grad):
            time.sleep(0.01)
            return 2 * grad
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(4):
        loss = Twice.apply(model(x)).sum()
        loss.backward()
        optimizer.step()
    """
    report = trained(source, model=nn.Linear(8, 2), x=torch.randn(4, 8))
    backward = phases_of(report.training)["backward"]
    assert (backward.top_lines[0].name, backward.top_lines[0].share > 0.9) == ("this cell:8", True)
    rows = {line.lineno: line for line in report.lines if line.source == "this cell"}
    # the call of the forward made it necessary, and the line in the backward is where it passes
    assert rows[12].share > 0.5
    assert rows[8].self_ms > 0.8 * rows[8].ms
    assert sum(line.self_ms for line in report.lines) <= report.line_trace.total_ms * 1.01


def test_a_cell_that_prepares_for_long_is_still_a_training() -> None:
    source = "import time\ntime.sleep(1.2)\n" + LOOP.strip()
    report = trained(source, model=nn.Linear(64, 8), x=torch.randn(16, 64))
    assert report.training is not None
    assert report.training.steps == 4
    assert "no line was traced" in report.training.reason
    assert phases_of(report.training)["backward"].top_modules[0].name == ""


def test_the_end_of_a_recording_counts_for_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_s: list[float] = []
    stop = Recorder.stop

    def slow(recorder: Recorder) -> None:
        if recorder.running:
            began = time.perf_counter()
            time.sleep(2.0)  # what reading a large recording takes
            stop(recorder)
            taken_s.append(time.perf_counter() - began)

    monkeypatch.setattr(Recorder, "stop", slow)
    monkeypatch.setattr(importlib.import_module("jupyter_optim.session.watch"), "_RECORDED_S", 0.0)
    model, began = nn.Sequential(nn.Linear(8, 8)), time.perf_counter()
    with short_timings():
        report = trained(LOOP, model=model, x=torch.randn(4, 8))
    whole_s = time.perf_counter() - began
    within = max((line.ms for line in report.lines), default=0.0)
    # the first recording ends in the middle of the cell
    assert taken_s[0] > 2
    assert 0 < report.workload.cell_ms < 1e3 * (whole_s - 2)
    assert within <= report.workload.cell_ms * 1.01
    assert within < 2000
