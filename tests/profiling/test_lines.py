"""Each line's share of a cell's time, against clocks that the cell itself carries."""

from __future__ import annotations

import linecache
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.user_code import Cell, UserCode
from jupyter_optim.report import Line, Report
from jupyter_optim.session import watch
from tests.zoo.timings import short_timings

CELL, OTHER = "<cell under test>", "<another cell>"
ALLOWED = 0.05


def cell_of(filename: str) -> Cell | None:
    return {CELL: Cell("this cell"), OTHER: Cell("cell [2]", 1)}.get(filename)


def run(source: str, names: dict[str, Any], filename: str = CELL) -> None:
    text = textwrap.dedent(source)
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    exec(compile(text, filename, "exec"), names)


class Clocks:
    """``with clock[3]:`` would be a line of its own, so the cells call ``go(3)`` and ``stop(3)`` around line 3."""

    def __init__(self) -> None:
        self.spent: dict[int, float] = {}
        self._began: dict[int, float] = {}

    def go(self, line: int) -> None:
        self._began[line] = time.perf_counter()

    def stop(self, line: int) -> None:
        self.spent[line] = self.spent.get(line, 0.0) + time.perf_counter() - self._began[line]


def watched(source: str, *, other: str = "") -> tuple[Report, dict[int, float]]:
    clocks = Clocks()
    names: dict[str, Any] = {
        "torch": torch, "nn": nn, "time": time, "go": clocks.go, "stop": clocks.stop, "x": torch.randn(256, 256),
        "net": nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256)).eval(),
    }  # fmt: skip
    if other:
        run(other, names, OTHER)
    with watch(cell=source, cell_of=cell_of) as seen:
        run(source, names)
    spent = dict(clocks.spent)  # replays run them on
    with short_timings():
        report = seen.session().report
    return report, spent


# In each, a line that is timed stands between go(its number) and stop(its number); line 1 is blank.
CELLS = {
    "statements": """
        net(x)
        go(4)
        time.sleep(0.06)
        stop(4)
        go(7)
        for _ in range(40): x @ x
        stop(7)
        """,
    "a call over several lines": """
        go(3)
        y = net(
            x
            + 1,
        )
        stop(3)
        time.sleep(0.02)
        """,
    "bare operators": """
        net(x)
        q = torch.randn(600, 600)
        go(5)
        s = q @ q.T
        stop(5)
        go(8)
        s = s * 2 + s
        stop(8)
        time.sleep(0.01)
        """,
    "a loop": """
        for _ in range(20):
            go(4)
            y = net(x)
            stop(4)
            time.sleep(0.001)
        """,
    "a comprehension": """
        net(x)
        go(4)
        ys = [net(x) @ x for _ in range(30)]
        stop(4)
        time.sleep(0.02)
        """,
    "a lambda": """
        net(x)
        twice = lambda v: (v @ v) @ v
        for _ in range(20):
            go(6)
            twice(x)
            stop(6)
            time.sleep(0.001)
        """,
    "a decorator": """
        def timed(f):
            def inner(*args):
                time.sleep(0.01)
                return f(*args)
            return inner
        @timed
        def work(v):
            go(10)
            time.sleep(0.02)
            stop(10)
            return net(v)
        work(x)
        """,
    "a generator": """
        net(x)
        def batches():
            for _ in range(5):
                go(6)
                time.sleep(0.005)
                stop(6)
                yield x
        for batch in batches():
            time.sleep(0.002)
            net(batch)
        """,
    "nested modules": """
        class Inner(nn.Module):
            def forward(self, v):
                go(5)
                time.sleep(0.01)
                stop(5)
                return v
        class Outer(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = Inner()
            def forward(self, v):
                go(14)
                v = self.inner(v)
                stop(14)
                time.sleep(0.02)
                return v
        Outer()(x)
        """,
    "recursion": """
        net(x)
        def dive(n):
            time.sleep(0.002)
            return dive(n - 1) if n else 0
        go(7)
        dive(9)
        stop(7)
        time.sleep(0.02)
        """,
    "a chain of methods": """
        net(x)
        go(4)
        y = (x.matmul(x)
             .relu()
             .sum())
        stop(4)
        time.sleep(0.005)
        """,
    "exceptions": """
        net(x)
        def fail():
            go(5)
            time.sleep(0.01)
            stop(5)
            raise ValueError
        for _ in range(3):
            try:
                fail()
            except ValueError:
                time.sleep(0.005)
        """,
    "with and while": """
        n = 0
        with torch.no_grad():
            while n < 10:
                go(6)
                net(x)
                stop(6)
                n += 1
                time.sleep(0.001)
        """,
    "longer than is traced": """
        net(x)
        for _ in range(30):
            go(5)
            time.sleep(0.05)
            stop(5)
            go(8)
            for _ in range(400): x @ x
            stop(8)
        """,
    "a busy loop of Python": """
        net(x)
        total = 0
        go(5)
        for i in range(400_000): total += i
        stop(5)
        time.sleep(0.05)
        """,
}


@pytest.mark.parametrize("name", CELLS)
def test_shares_are_those_of_the_cells_own_clocks(name: str) -> None:
    report, clocks = watched(CELLS[name])
    rows = {line.lineno: line for line in report.lines if line.source == "this cell"}
    total_s = report.line_trace.total_ms / 1e3
    assert clocks
    for lineno, spent in clocks.items():
        # the statement's parts lie in several lines, as the editor shows it
        several = name in ("a chain of methods", "a call over several lines")
        inside = range(lineno, lineno + 3) if several else [lineno]
        share = sum(rows[each].share for each in inside if each in rows)
        assert share == pytest.approx(spent / total_s, abs=ALLOWED), (lineno, rows.get(lineno))
    own = sum(line.self_ms for line in report.lines)
    assert own + report.line_trace.unattributed_ms == pytest.approx(report.line_trace.total_ms, rel=0.05)
    assert report.line_trace.unattributed_ms < 0.05 * report.line_trace.total_ms + 2


def lines_of(report: Report, source: str) -> dict[int, Line]:
    return {line.lineno: line for line in report.lines if line.source == source}


def test_what_is_traced_to_its_end_is_measured_and_what_is_sampled_estimated() -> None:
    short, _ = watched(CELLS["statements"])
    long, _ = watched(CELLS["longer than is traced"])
    assert short.line_trace.status == "measured"
    assert not any(line.estimated for line in short.lines)
    assert long.line_trace.status == "estimated"
    assert all(line.estimated for line in long.lines)
    assert "samples of the stack" in long.line_trace.method


def test_backward_belongs_to_the_forward_lines_that_caused_it() -> None:
    report, _ = watched("""
        big = nn.Linear(1200, 1200)
        v = torch.randn(400, 1200)
        for _ in range(4):
            h = big(v)
            loss = h.tanh().sum()
            loss.backward()
        """)
    rows = lines_of(report, "this cell")
    assert "big(v)" in rows[5].text
    # two products of the same size as the forward's one
    assert rows[5].share > 0.5
    assert rows[5].share > 5 * rows[7].share


def test_lines_of_other_cells_and_of_local_files_are_named_and_libraries_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text("import time\ndef slow(v):\n    time.sleep(0.01)\n    return v\n")
    monkeypatch.syspath_prepend(tmp_path)
    report, _ = watched(
        "from layers import slow\nhelper(slow(net(x)))",
        other="def helper(v):\n    time.sleep(0.02)\n    return v @ v",
    )
    sys.modules.pop("layers")
    assert {line.source for line in report.lines} >= {"this cell", "cell [2]", "layers.py"}
    assert not any("site-packages" in line.source or "torch" in line.source for line in report.lines)
    # the editor shows one blank line above that cell's text
    assert lines_of(report, "cell [2]")[3].text == "time.sleep(0.02)"
    assert lines_of(report, "layers.py")[3].text == "time.sleep(0.01)"
    assert str(tmp_path) not in report.to_json()


def test_a_debugger_keeps_its_hook_and_the_report_says_so() -> None:
    events: list[str] = []

    def tracer(frame: Any, event: str, arg: Any) -> None:
        events.append(event)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        report, _ = watched("net(x)\nfor _ in range(4):\n    time.sleep(0.02)")
        kept = sys.gettrace()
    finally:
        sys.settrace(before)
    assert kept is tracer
    assert "call" in events
    assert "debugger" in report.line_trace.reason
    assert report.line_trace.status == "estimated"
    assert lines_of(report, "this cell")[3].share > 0.7


def test_a_tracer_that_the_cell_sets_itself_stays() -> None:
    mine = "def tracer(*_): pass\nimport sys\nsys.settrace(tracer)\nnet(x)"
    before = sys.gettrace()
    try:
        watched(mine)
        assert sys.gettrace().__name__ == "tracer"
    finally:
        sys.settrace(before)


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    watched(CELLS["a loop"])
    with pytest.raises(ZeroDivisionError):
        watched("net(x)\n1 / 0")
    assert sys.gettrace() is None
    assert threading.active_count() == before


def test_a_call_alone_has_the_lines_of_the_models_own_code() -> None:
    class Slow(nn.Module):
        def forward(self, v: torch.Tensor) -> torch.Tensor:
            time.sleep(0.004)
            return v @ v

    with short_timings():
        report = jo.optimize(Slow(), torch.randn(64, 64)).report
    here = {line.text: line for line in report.lines}
    assert here["time.sleep(0.004)"].source.endswith("test_lines.py")
    assert here["time.sleep(0.004)"].share > 0.7
    assert here["time.sleep(0.004)"].ms == pytest.approx(4, abs=2)
    op = next(op for op in report.ops if op.name == "aten::mm")
    assert op.line == f"{here['return v @ v'].source}:{here['return v @ v'].lineno}"


def test_ops_of_a_library_model_belong_to_the_line_that_calls_it() -> None:
    report, _ = watched("y = 1\nz = net(\n    x)")
    assert {op.line for op in report.ops} == {"this cell:2"}


def test_a_cell_that_works_long_before_it_calls_a_model_is_not_recorded_all_the_while() -> None:
    report, _ = watched("for _ in range(30_000):\n    y = x[0] + 1\nnet(x)")
    rows = lines_of(report, "this cell")
    assert rows[2].estimated
    assert rows[2].share > 0.5
    assert report.trace.calls >= 1


def test_lines_can_be_left_out() -> None:
    names: dict[str, Any] = {"net": nn.Linear(2, 2), "x": torch.ones(1, 2)}
    with short_timings():
        with watch(cell="net(x)", cell_of=cell_of, lines=False) as seen:
            run("net(x)", names)
        report = seen.session().report
    assert report.lines == ()
    assert report.line_trace.status == "unavailable"
    assert "--no-lines" in report.line_trace.reason


def test_a_frame_that_is_left_without_a_word_closes_its_ranges() -> None:
    ranges = LineRanges(UserCode(cell_of))
    with ranges:
        run("g = (n for n in range(9))\nnext(g)\ng.close()\nh = iter([1])\nfor _ in h: pass", {})
    assert ranges._open.stack == []


def test_a_folder_that_pip_installed_into_is_a_librarys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, own = tmp_path / "target" / "package.py", tmp_path / "mine" / "module.py"
    for file in (theirs, own):
        file.parent.mkdir()
        file.write_text("x = 1\n")
    (tmp_path / "target" / "package-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(theirs.parent), str(own.parent)])
    code = UserCode()
    assert code.place(str(theirs)) is None
    assert code.place(str(own)) is not None
