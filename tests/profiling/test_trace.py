"""One trace, read right: nesting, sums, modules."""

from __future__ import annotations

import gc
import gzip
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from jupyter_optim.errors import InvalidReport
from jupyter_optim.profiling.ops.attribute import attribute
from jupyter_optim.profiling.ops.op_table import by_name
from jupyter_optim.profiling.trace import cpp_log
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.columns import MemoryEvents, nesting
from jupyter_optim.profiling.trace.reader import read
from jupyter_optim.profiling.trace.record import Recorder


def nested(rng: np.random.Generator, low: int, high: int, depth: int) -> list[tuple[int, int]]:
    """Random properly nested intervals (start, end), with touching neighbours and empty ones."""
    found, at = [], low
    while at < high and len(found) < 40:
        start = at + int(rng.integers(0, 3))
        end = min(high, start + int(rng.integers(0, max(1, (high - low) // 2) + 1)))
        if start >= high:
            break
        found.append((start, end))
        if depth and end - start > 2:
            found += nested(rng, start, end, depth - 1)
        at = end
        if end == start:
            at += 1
    return found


@pytest.mark.parametrize("seed", range(20))
def test_nesting_finds_the_innermost_event_around_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(t, s, e) for t in range(3) for s, e in nested(rng, 0, 200, 4)]
    rows.sort(key=lambda row: (row[0], row[1], -(row[2] - row[1])))
    thread, start, end = (np.array(column, np.int64) for column in zip(*rows, strict=True))

    depth, parent = nesting(start, end - start, thread)

    stack: list[int] = []
    for i, (t, s, e) in enumerate(rows):
        # an event contains a later one of its thread that starts before it ends; an empty one contains nothing
        while stack and not (
            rows[stack[-1]][0] == t and (s < rows[stack[-1]][2] or rows[stack[-1]][1:] == (s, e))
        ):
            stack.pop()
        while stack and rows[stack[-1]][1] == rows[stack[-1]][2] and rows[stack[-1]][1:] != (s, e):
            stack.pop()
        assert parent[i] == (stack[-1] if stack else -1) or rows[parent[i]][1:] == (s, e)
        stack.append(i)
    assert (depth[parent >= 0] == depth[parent[parent >= 0]] + 1).all()


def model_and_input() -> tuple[nn.Module, torch.Tensor]:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(2, 8, 32)


def test_sums_by_op_are_those_of_key_averages() -> None:
    model, x = model_and_input()
    recorder = Recorder(memory=False)
    recorder.start()
    for _ in range(3):
        model(x)
    recorder.stop()

    ours = by_name(recorder.columns())
    theirs = {row.key: row for row in recorder._profiler.key_averages()}

    assert set(ours) == set(theirs)
    for name, (calls, own, total) in ours.items():
        assert calls == theirs[name].count, name
        assert own / 1e3 == pytest.approx(theirs[name].self_cpu_time_total, abs=0.01), name
        assert total / 1e3 == pytest.approx(theirs[name].cpu_time_total, abs=0.01), name


def test_each_op_belongs_to_its_innermost_module_and_all_sums_agree() -> None:
    model, x = model_and_input()
    recorder = Recorder(memory=True)
    with ModuleRanges() as ranges:
        recorder.start()
        for _ in range(4):
            model(x)
        recorder.stop()

    found = attribute(recorder.columns(), ranges.modules, model)

    assert found.calls == 4
    rows = {row.path: row for row in found.modules}
    assert rows[""].calls == 1
    assert rows["layers.1.linear1"].class_name == "Linear"
    assert rows["layers.1.linear1"].params == 32 * 64 + 64
    assert rows[""].total_ms == pytest.approx(found.call_ms)
    assert sum(row.self_ms for row in found.modules) == pytest.approx(found.call_ms, rel=1e-6)
    assert sum(op.self_ms for op in found.ops) + found.unattributed_ms == pytest.approx(
        found.call_ms, rel=1e-6
    )
    assert {op.module for op in found.ops if op.name == "aten::addmm"} >= {
        "layers.0.linear1",
        "layers.1.linear2",
    }
    layer = [r for p, r in rows.items() if p.startswith("layers.0.") and p.count(".") == 2]
    assert sum(r.total_ms for r in layer) <= rows["layers.0"].total_ms


def test_the_peak_is_what_the_call_holds_above_its_start() -> None:
    class Holds(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = torch.empty(1_000_000)
            b = torch.empty(2_000_000)
            del a
            c = torch.empty(500_000)
            return x + len(b) + len(c)

    model = Holds()
    recorder = Recorder(memory=True)
    with ModuleRanges() as ranges:
        recorder.start()
        kept = torch.empty(5_000_000)
        model(torch.ones(1))
        recorder.stop()
    del kept

    peak = attribute(recorder.columns(), ranges.modules, model).peak.bytes

    assert peak == pytest.approx(4 * 3_000_000, rel=0.001)


def test_shared_modules_stand_under_their_first_name() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    recorder = Recorder(memory=False)
    with ModuleRanges() as ranges:
        recorder.start()
        model(torch.ones(1, 4))
        recorder.stop()
    rows = {row.path: row for row in attribute(recorder.columns(), ranges.modules, model).modules}
    assert rows["0"].calls == 2
    assert "2" not in rows


@pytest.mark.parametrize("text", ["not json", "[3]", '{"traceEvents": 3}', '{"traceEvents": [{"ts": "x"}]}'])
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(InvalidReport, match=r"trace\.json is not a trace"):
        read(path)


def test_an_empty_trace_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{"traceEvents": []}')
    assert len(read(path)) == 0
    assert by_name(read(path)) == {}


def contents(data: Any) -> dict[str, Any]:
    """All fields of columns, for comparison."""
    found = {field.name: getattr(data, field.name) for field in fields(data)}
    return {
        name: contents(value) if is_dataclass(value) else value if isinstance(value, str) else list(value)
        for name, value in found.items()
    }


def test_a_file_read_in_pieces_has_the_events_of_one_read_whole(tmp_path: Path) -> None:
    model, x = model_and_input()
    recorder = Recorder(memory=True, shapes=True)
    recorder.start()
    for _ in range(8):
        model(x).sum().backward()
    recorder.stop()
    path, packed, whole = (tmp_path / name for name in ("kept.json", "kept.json.gz", "whole.json"))
    recorder.columns(keep=path)
    packed.write_bytes(gzip.compress(path.read_bytes()))
    # in one line, there is no telling where an event ends
    whole.write_text(json.dumps(json.loads(path.read_bytes())))
    assert path.stat().st_size > 2**20
    columns = read(path)
    assert len(columns.memory) > 0
    assert len(columns.signatures) > 0
    assert contents(columns) == contents(read(packed)) == contents(read(whole))


def test_of_events_that_begin_together_the_longest_is_around_the_others(tmp_path: Path) -> None:
    lengths = {"inner": 2, "outer": 9, "middle": 5}
    events = [
        {"ph": "X", "cat": "cpu_op", "name": name, "ts": 10, "dur": length, "pid": 1, "tid": thread}
        for name, length in lengths.items()
        for thread in (1, 2)
    ]
    later = {"ph": "X", "cat": "cpu_op", "name": "later", "ts": 11, "dur": 1, "pid": 1, "tid": 1}
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": [later, *events]}))
    columns = read(tmp_path / "trace.json")
    names = [columns.names[number] for number in columns.name]
    assert names == ["outer", "middle", "inner", "later", "outer", "middle", "inner"]
    assert [names[row] if row >= 0 else None for row in columns.parent] == [
        None, "outer", "middle", "inner", None, "outer", "middle",
    ]  # fmt: skip


def test_what_is_held_in_intervals_that_overlap_is_found_for_each() -> None:
    rng = np.random.default_rng(3)
    at, change = np.sort(rng.integers(0, 200, 80)), rng.integers(-9, 10, 80)
    memory = MemoryEvents(at=at, bytes=change, address=at, thread=at, device="cpu")
    # all of it, one at its end, one of an instant, one after all, and others in no order
    start = np.append([0, 150, int(at[5]), 300], rng.integers(0, 200, 30))
    duration = np.append([200, 100, 0, 9], rng.integers(0, 90, 30))
    found = memory.risen(start, duration)
    for begin, length, most in zip(start, duration, found, strict=True):
        within = (at >= begin) & (at <= begin + length)
        held = np.cumsum(change[within])
        assert most == (held.max() if len(held) else 0)


@pytest.mark.parametrize("name", ["kept.json", "kept.json.gz"])
def test_the_trace_can_be_kept(tmp_path: Path, name: str) -> None:
    recorder = Recorder(memory=False)
    recorder.start()
    torch.ones(2).add(1)
    recorder.stop()
    recorder.columns(keep=tmp_path / name)
    data = (tmp_path / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert "aten::add" in {event["name"] for event in json.loads(text)["traceEvents"]}


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_gpus_recording_is_written_before_the_next_one_begins(
    monkeypatch: pytest.MonkeyPatch, on_gpu: bool
) -> None:
    # GIVEN two recordings, the first not read yet
    monkeypatch.setattr(Recorder, "spoilt_by_another", on_gpu)
    model, x = model_and_input()
    first, second = Recorder(memory=False), Recorder(memory=False)
    first.start()
    model(x)
    first.stop()
    assert first._saved is None
    # WHEN the second begins
    second.start()
    second.stop()
    # THEN the first is in a file, if what is read later would be wrong, and its events are its own
    assert (first._saved is not None) == on_gpu
    assert "aten::linear" in by_name(first.columns())
    assert "aten::linear" not in by_name(second.columns())
    # and the file goes with the recording
    path = first.save()
    assert path.is_file()
    del first
    gc.collect()
    assert not path.parent.exists()


def test_memory_from_before_that_is_freed_is_not_complained_of(capfd: pytest.CaptureFixture[str]) -> None:
    # PyTorch warns of every thousandth
    from_before = [torch.randn(8) for _ in range(2001)]
    recorder = Recorder(memory=True)
    recorder.start()
    from_before.clear()
    recorder.stop()
    assert capfd.readouterr().err == ""
    assert warnings_again(capfd)


def warnings_again(capfd: pytest.CaptureFixture[str]) -> bool:
    """Whether PyTorch warns as ever without us."""
    from_before = [torch.randn(8) for _ in range(2001)]
    with torch.autograd.profiler.profile(use_kineto=True, profile_memory=True):
        from_before.clear()
    return "unknown size" in capfd.readouterr().err


def test_a_recording_leaves_the_log_level_of_torchs_core() -> None:
    level = cpp_log._level()
    assert level is not None
    before = level.value
    recorder = Recorder(memory=True)
    recorder.start()
    assert level.value >= 2
    recorder.stop()
    assert level.value == before
