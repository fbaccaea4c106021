"""Traces for TensorBoard's plugin and other viewers: where they go, and what is found in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.errors import OptimError
from jupyter_optim.profiling.trace.tensorboard import for_viewers, leave_trace, trace_file


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


@pytest.fixture(scope="module")
def session():
    return jo.optimize(Net().eval(), torch.randn(8, 64))


@pytest.fixture(scope="module")
def file(session, tmp_path_factory) -> Path:
    """A trace in a log folder."""
    return session.write_trace(tmp_path_factory.mktemp("logs") / "first")


@pytest.fixture(scope="module")
def events(file) -> list[dict[str, Any]]:
    trace = json.loads(gzip.decompress(file.read_bytes()))
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


def test_a_log_folder_gets_a_file_that_the_plugin_looks_for(file):
    consts = pytest.importorskip("torch_tb_profiler.consts")
    found = consts.WORKER_PATTERN.match(file.name)
    assert found[1] == "Net"
    assert found[2][1:].isdigit()
    assert list(file.parent.iterdir()) == [file]


def test_each_trace_in_a_folder_has_a_file_of_its_own(tmp_path):
    first = trace_file(tmp_path, "Net")
    leave_trace(b"{}", first)
    second = trace_file(tmp_path, "Net")
    leave_trace(b"{}", second)
    assert first != second
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


def test_a_file_is_written_under_its_own_name(session, tmp_path):
    path = tmp_path / "trace.json"
    assert session.write_trace(str(path)) == path
    assert json.loads(path.read_text())["traceEvents"]


def test_steps_are_the_calls_and_lie_around_them(events):
    steps = [event for event in events if event["name"].startswith("ProfilerStep#")]
    calls = [event for event in events if event["name"] == "nn.Module: model (Net)"]
    assert {event["cat"] for event in steps} == {"user_annotation"}
    assert len(steps) == len(calls) > 0
    for step, call in zip(steps, calls, strict=True):
        assert step["ts"] <= call["ts"]
        assert call["ts"] + call["dur"] <= step["ts"] + step["dur"]


def test_modules_are_functions_that_know_their_caller_and_no_ops(events):
    ops = {event["name"] for event in events if event["cat"] == "cpu_op"}
    assert "aten::addmm" in ops
    assert not [name for name in ops if name.startswith(("nn.Module", "line", "jo:", "ProfilerStep"))]
    functions = {each["args"]["Python id"]: each for each in events if each["cat"] == "python_function"}
    modules = [each for each in functions.values() if "Python module id" in each["args"]]

    def path(each: dict[str, Any] | None) -> list[str]:
        if each is None:
            return []
        above = path(functions.get(each["args"]["Python parent id"]))
        return [*above, each["name"]] if "Python module id" in each["args"] else above

    assert ["nn.Module: model (Net)", "nn.Module: body (Sequential)", "nn.Module: body.0 (Linear)"] in [
        path(each) for each in modules
    ]
    numbers = {each["name"]: each["args"]["Python module id"] for each in modules}
    assert len(set(numbers.values())) == len(numbers) == 5
    assert [each["name"] for each in functions.values() if each["name"].startswith("line: ")]


def test_our_own_reader_finds_modules_and_steps_in_it(session, file):
    report = jo.open_trace(file)
    assert report.workload.calls == session.report.trace.calls
    assert {row.path for row in report.modules} == {"model", "body", "body.0", "body.1", "head"}
    assert not [op.name for op in report.ops if op.name.startswith("line")]


def test_tracing_leaves_model_and_report_as_they_were(session, tmp_path):
    before, measured = [(p.data_ptr(), p._version) for p in session.model.parameters()], session.report
    session.write_trace(tmp_path)
    assert [(p.data_ptr(), p._version) for p in session.model.parameters()] == before
    assert session.report == measured


def test_what_cannot_be_written_is_told_in_a_sentence(session, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OptimError, match="cannot be made"):
        session.write_trace(tmp_path / "file" / "logs")
    with pytest.raises(OptimError, match="cannot be written"):
        session.write_trace(tmp_path / "nowhere" / "trace.json")


def test_a_model_that_cannot_be_called_again_has_no_trace(tmp_path):
    class Once(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Once.calls += 1
            if Once.calls > 1:
                raise RuntimeError("only once")
            return super().forward(x)

    session = jo.optimize(Once(2, 2), torch.ones(1, 2))
    with pytest.raises(OptimError, match="only once"):
        session.write_trace(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_steps_that_kineto_draws_again_for_the_gpu_are_left_out():
    step = {"ph": "X", "name": "ProfilerStep#0", "pid": 1, "tid": 1, "ts": 1.0, "dur": 5.0}
    events = [
        {**step, "cat": "user_annotation"},
        {**step, "cat": "gpu_user_annotation", "pid": 0, "tid": 7},
        {**step, "cat": "gpu_user_annotation", "pid": 0, "tid": 7, "name": "mine"},
    ]
    found = json.loads(for_viewers(json.dumps({"traceEvents": events}).encode(), str.upper))["traceEvents"]
    assert [(event["cat"], event["name"]) for event in found] == [
        ("user_annotation", "ProfilerStep#0"),
        ("gpu_user_annotation", "mine"),
    ]


def test_calls_in_two_threads_have_callers_of_their_own_thread():
    def call(tid: int, ts: float, dur: float, number: int) -> dict[str, Any]:
        name = f"jo:module:{number}"
        return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur}

    events = [call(1, 0.0, 9.0, 0), call(2, 1.0, 9.0, 1), call(1, 2.0, 3.0, 2), call(1, 9.0, 1.0, 3)]
    found = json.loads(for_viewers(json.dumps({"traceEvents": events}).encode(), str))["traceEvents"]
    by_id = {each["args"]["Python id"]: each["name"] for each in found}
    callers = {each["name"][-1]: by_id.get(each["args"]["Python parent id"], "none")[-1] for each in found}
    assert callers == {"0": "e", "1": "e", "2": "0", "3": "e"}
