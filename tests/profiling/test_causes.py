"""Which op of the forward made which part of the backward pass necessary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from jupyter_optim.profiling.lines.times import line_times
from jupyter_optim.profiling.ops.attribute import attribute_calls
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.causes import Causes, is_node
from jupyter_optim.profiling.trace.columns import Columns, Kind
from jupyter_optim.profiling.trace.labels import Labels, ModuleLabel
from jupyter_optim.profiling.trace.reader import read
from jupyter_optim.profiling.trace.record import Recorder


def recorded(work: Callable[[], object]) -> tuple[Causes, list[nn.Module]]:
    recorder = Recorder(memory=False)
    with ModuleRanges() as ranges:
        recorder.start()
        work()
        recorder.stop()
    return Causes.of(recorder.columns()), ranges.modules


def owners(causes: Causes, modules: list[nn.Module], name: str) -> list[nn.Module | None]:
    """The modules that the ops of a name belong to, in order of time."""
    columns = causes.columns
    rows = [i for i in range(len(columns)) if columns.names[columns.name[i]] == name]
    around = causes.innermost(Kind.MODULE)[rows]
    return [modules[columns.code[row]] if row >= 0 else None for row in around]


def test_each_op_of_the_backward_belongs_to_its_layer() -> None:
    first, second = nn.Linear(8, 16), nn.Linear(16, 4)
    net, x = nn.Sequential(first, nn.Tanh(), second), torch.randn(3, 8)
    causes, modules = recorded(lambda: net(x).sum().backward())
    # of the second layer its weight's and its input's, of the first its weight's
    assert owners(causes, modules, "aten::mm") == [second, second, first]
    assert owners(causes, modules, "aten::tanh_backward") == [net[1]]
    assert owners(causes, modules, "torch::autograd::AccumulateGrad") == [second, second, first, first]
    assert owners(causes, modules, "SumBackward0") == [None]


def test_what_is_of_no_backward_is_its_own_cause() -> None:
    net, x = nn.Linear(8, 4), torch.randn(3, 8)
    causes, _ = recorded(lambda: net(x).sum().backward())
    outside = ~causes.columns.within(np.flatnonzero(is_node(causes.columns)))
    assert (causes.row[outside] == np.flatnonzero(outside)).all()
    assert (causes.row[~outside] != np.flatnonzero(~outside)).all()


def test_a_forward_before_the_recording_leaves_its_backward_alone() -> None:
    net, x = nn.Linear(8, 4), torch.randn(3, 8)
    loss = net(x).sum()
    causes, modules = recorded(loss.backward)
    assert set(owners(causes, modules, "aten::mm")) <= {None}
    assert (causes.row == np.arange(len(causes.row))).all()


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_computes_again_belongs_to_its_modules(reentrant: bool) -> None:
    inner, last = nn.Linear(8, 8), nn.Linear(8, 4)
    block = nn.Sequential(inner, nn.Tanh())

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.last = block, last

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(checkpoint(self.block, x, use_reentrant=reentrant))

    net, x = Net(), torch.randn(3, 8, requires_grad=True)
    causes, modules = recorded(lambda: net(x).sum().backward())
    assert owners(causes, modules, "aten::addmm") == [inner, last, inner]
    # the last layer's two, and the block's two
    assert owners(causes, modules, "aten::mm") == [last, last, inner, inner]


def test_a_second_derivative_goes_back_to_the_first_forward() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    x = torch.randn(3, 4, requires_grad=True)

    def penalty() -> None:
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        slope.pow(2).sum().backward()

    causes, modules = recorded(penalty)
    assert set(owners(causes, modules, "aten::tanh_backward")) == {net[1]}
    products = owners(causes, modules, "aten::mm")
    assert set(products) == {net[0]}
    forward = causes.columns.kind == Kind.OP
    assert not is_node(causes.columns)[causes.row[forward]].any()


def event(
    name: str, at: float, length: float, thread: int, category: str = "cpu_op", **args: int
) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": at, "dur": length, "pid": 1, "tid": thread,
            "args": {key.replace("_", " "): value for key, value in args.items()}}  # fmt: skip


def columns_of(tmp_path: Path, *events: dict[str, Any]) -> Columns:
    path = tmp_path / "made_up.json"
    path.write_text(json.dumps({"traceEvents": events}))
    return read(path)


NODE = "autograd::engine::evaluate_function: MmBackward0"


def test_a_backward_in_a_thread_of_its_own_is_taken_from_the_line_that_waits_for_it(tmp_path: Path) -> None:
    columns = columns_of(
        tmp_path,
        event("jo:line:0", 0, 20, 7, "user_annotation"), event("jo:module:0", 1, 18, 7, "user_annotation"),
        event("aten::mm", 2, 10, 7, Sequence_number=5, Fwd_thread_id=0),
        event("jo:line:1", 30, 100, 7, "user_annotation"),
        event(NODE, 40, 60, 9, Sequence_number=5, Fwd_thread_id=1), event("aten::mm", 45, 50, 9),
    )  # fmt: skip
    times = line_times(columns, [("cell", 1), ("cell", 2)])
    assert times.inclusive == {("cell", 1): 80e3, ("cell", 2): 40e3}
    assert times.own == {("cell", 1): 80e3, ("cell", 2): 40e3}
    calls = np.flatnonzero(columns.kind == Kind.LINE)
    found = attribute_calls(
        columns, calls, Labels([ModuleLabel("layer", "Linear")], ["forward", "backward"]), span=True
    )
    products = [op for op in found.ops if op.name == "aten::mm"]
    assert [(op.module, op.line, op.calls) for op in products] == [("layer", "forward", 2)]
    # 18 us of the forward, 60 of the backward
    assert found.modules[0].self_ms == pytest.approx(0.078)


def test_threads_that_count_alike_are_not_mixed_up(tmp_path: Path) -> None:
    columns = columns_of(
        tmp_path,
        event("aten::mm", 0, 10, 7, Sequence_number=5), event("aten::mm", 0, 10, 8, Sequence_number=5),
        event("aten::bmm", 12, 2, 8, Sequence_number=6), event(NODE, 20, 5, 7, Sequence_number=5, Fwd_thread_id=1),
        event(NODE, 30, 5, 9, Sequence_number=5, Fwd_thread_id=1), event(NODE, 40, 5, 9, Sequence_number=6, Fwd_thread_id=2),
    )  # fmt: skip
    causes = Causes.of(columns)
    same, unknown, other = np.flatnonzero(is_node(columns))
    assert (columns.start[causes.row[same]], columns.thread[causes.row[same]]) == (0, columns.thread[same])
    assert causes.row[unknown] == unknown
    assert columns.names[columns.name[causes.row[other]]] == "aten::bmm"
