"""Trace files of others: those that PyTorch writes, and those that nobody should."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, schedule

import jupyter_optim as jo


def training(active: int, path: Path, **options: bool) -> None:
    """Leave at `path` the trace of `active` training steps, as users write it."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer, x = torch.optim.SGD(model.parameters(), lr=0.1), torch.randn(32, 64)
    with profile(
        activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=active),
        on_trace_ready=lambda done: done.export_chrome_trace(str(path)), **options,
    ) as running:  # fmt: skip
        for _ in range(active + 2):
            loss = model(x).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running.step()


@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")
@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_training_is_told_by_the_step(tmp_path: Path, name: str) -> None:
    training(3, tmp_path / name, with_stack=True, record_shapes=True, profile_memory=True)
    report = jo.open_trace(tmp_path / name)
    assert (report.workload.model, report.workload.origin) == (name, "trace")
    assert report.trace.calls == 3
    # the backward's products: of the first layer's weights, of the second's weights and of its inputs
    products = {op.module: op for op in report.ops if op.name == "aten::mm"}
    linear = [row for row in report.modules if row.class_name == "Linear"]
    assert [products[row.path].calls for row in linear] == [1, 2]
    assert [products[row.path].flops for row in linear] == [2 * 32 * 64 * 128, 2 * 2 * 32 * 128 * 10]
    # and the forward's, with a bias each
    assert [row.flops for row in linear] == pytest.approx([4 * 32 * 64 * 128, 6 * 32 * 128 * 10], rel=0.05)
    by_ops = [sum(op.self_ms for op in report.ops if op.module == row.path) for row in linear]
    assert all(0 < ops <= row.self_ms <= row.total_ms for ops, row in zip(by_ops, linear, strict=True))
    assert sum(row.share for row in report.modules) <= 1
    total = sum(op.self_ms for op in report.ops) + report.trace.unattributed_ms
    assert total == pytest.approx(report.trace.call_ms, rel=0.01)
    assert jo.Report.from_json(report.to_json()).to_json() == report.to_json()
    assert "a step" in str(report)


def test_without_steps_shapes_or_memory_the_reasons_are_told(tmp_path: Path) -> None:
    x = torch.randn(16, 16)
    with profile(activities=[ProfilerActivity.CPU]) as done:
        for _ in range(5):
            x @ x
    done.export_chrome_trace(str(tmp_path / "plain.json"))
    report = jo.open_trace(str(tmp_path / "plain.json"))
    assert next(op for op in report.ops if op.name == "aten::mm").calls == 5
    assert report.trace.calls == 1
    assert "record_shapes" in report.flops.reason
    assert "profile_memory" in report.memory.reason
    assert report.memory.weights_bytes is None
    assert report.environment.threads is None
    assert "None" not in str(report)


def test_traces_can_be_compared_and_tell_what_their_times_are_of(tmp_path: Path) -> None:
    x = torch.randn(64, 64)
    with torch.profiler.profile(record_shapes=True) as done:
        for _ in range(20):
            x @ x
    done.export_chrome_trace(str(tmp_path / "plain.json"))
    report = jo.open_trace(tmp_path / "plain.json")
    hot = next(each for each in report.findings if each.kind == "hot-op")
    assert "in all of the trace" in hot.text
    assert "a call" not in hot.text
    assert "in all" in str(report).splitlines()[0]
    # a trace knows no number of parameters
    assert report.memory.parameters is None
    assert str(jo.compare(report, report))


def test_work_of_a_gpu_belongs_to_the_op_that_launched_it(tmp_path: Path) -> None:
    def event(
        category: str, name: str, at: float, length: float, thread: int | str, external: int
    ) -> dict[str, object]:
        return {"ph": "X", "cat": category, "name": name, "ts": at, "dur": length, "pid": 1, "tid": thread,
                "args": {"External id": external}}  # fmt: skip

    events = [
        event("cpu_op", "aten::mm", 0, 10, 7, 1), event("cpu_op", "aten::relu", 20, 10, 7, 2),
        event("kernel", "sgemm", 5, 300, "stream 7", 1), event("kernel", "relu_kernel", 310, 100, "stream 7", 2),
    ]  # fmt: skip
    (tmp_path / "gpu.json").write_text(
        json.dumps({"traceEvents": events, "deviceProperties": [{"id": 0, "name": "NVIDIA Test"}]})
    )
    report = jo.open_trace(tmp_path / "gpu.json")
    rows = {op.name: op for op in report.ops}
    assert (rows["aten::mm"].self_ms, rows["aten::mm"].device) == (0.3, "cuda")
    assert rows["aten::relu"].share == pytest.approx(100 / 410)
    assert report.environment.gpus[0].name == "NVIDIA Test"
    assert report.workload.device == "cuda"


BROKEN = {
    "nothing": (b"", "empty"),
    "cut off": (b'{"traceEvents": [{"ph": "X"', "not a trace"),
    "no events": (b'{"traceEvents": []}', "holds no ops"),
    "another program's": (b'{"traceEvents": [{"ph": "X", "cat": "blink", "name": "paint", "ts": 1, "dur": 1}]}', "holds no ops"),
    "deep": (b"[" * 200_000, "not a trace"),
    "binary": (bytes(range(256)), "not a trace"),
    "times apart": ((b'{"traceEvents": [{"ph":"X","cat":"cpu_op","name":"a","ts":0,"dur":1},'
                    b'{"ph":"X","cat":"cpu_op","name":"b","ts":1e300,"dur":1}]}'), "times that cannot be"),
    "negative": (b'{"traceEvents": [{"ph":"X","cat":"cpu_op","name":"a","ts":0,"dur":-5}]}', "times that cannot be"),
    "cut archive": (gzip.compress(b'{"traceEvents": []}' * 1000)[:-9], "broken"),
    "wrong types": (b'{"traceEvents": [{"ph":"X","cat":"cpu_op","name":[1],"ts":0,"dur":1}]}', "not a trace"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_trace_gets_a_sentence(tmp_path: Path, kind: str) -> None:
    data, words = BROKEN[kind]
    (tmp_path / "given.json").write_bytes(data)
    with pytest.raises(jo.InvalidReport, match=words) as raised:
        jo.open_trace(tmp_path / "given.json")
    assert str(tmp_path) not in str(raised.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(jo.InvalidReport, match="No such file"):
        jo.open_trace(tmp_path / "nowhere.json")
    with pytest.raises(jo.InvalidReport, match="is a folder"):
        jo.open_trace(tmp_path)


def test_names_that_look_like_ours_are_taken_for_names(tmp_path: Path) -> None:
    names = ["jo:module:99999999999999999999", "jo:line:x", "<script>", "\u202e", "nn.Module: "]
    events = [
        {"ph": "X", "cat": "cpu_op", "name": n, "ts": i, "dur": 1, "tid": 1} for i, n in enumerate(names)
    ]
    (tmp_path / "odd.json").write_text(json.dumps({"traceEvents": events}))
    report = jo.open_trace(tmp_path / "odd.json")
    assert "<script>" in {op.name for op in report.ops}
    assert str(report)


def test_a_trace_that_was_kept_has_our_modules_and_lines_by_name(tmp_path: Path) -> None:
    from jupyter_optim.session import watch
    from tests.zoo.timings import short_timings

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 8), nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) + 1

    model = Net().eval()
    with short_timings():
        with watch(cell="model(x)") as seen:
            model(torch.ones(2, 8))
        live = seen.session(trace_path=tmp_path / "kept.json.gz").report
    text = gzip.decompress((tmp_path / "kept.json.gz").read_bytes()).decode()
    assert "nn.Module: body.0 (Linear)" in text
    assert "line: " in text
    assert "jo:" not in text
    report = jo.open_trace(tmp_path / "kept.json.gz")
    again = {row.path: (row.class_name, row.calls) for row in report.modules}
    # each traced call is a step of the file, and figures are of one step
    assert report.workload.calls == live.trace.calls
    assert again["body.0"] == ("Linear", {row.path: row for row in live.modules}["body.0"].calls)
