"""Whether ops, modules and lines add up to the time of the call."""

from __future__ import annotations

import linecache
import math
import textwrap
import time
from typing import Any
from unittest import mock

import torch
from torch import nn

from benchmarks.timing import Result, quartiles
from benchmarks.traced import trace, zoo_workload
from jupyter_optim.profiling.lines.user_code import Cell
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.session import watch
from tests.zoo import ENTRIES, Entry
from tests.zoo.timings import short_timings

BAR = 0.05
_FILE = "<benchmark cell>"

CELLS = {
    "inference in a loop": """
        with torch.inference_mode():
            for _ in range(20):
                y = net(x)
                y = y.softmax(-1) @ x
        """,
    "training": """
        adam = torch.optim.Adam(net.parameters())
        for _ in range(10):
            loss = net(x).square().mean()
            loss.backward()
            adam.step()
            adam.zero_grad()
        """,
    "mostly not the model": """
        time.sleep(0.05)
        data = [torch.randn(256, 256) for _ in range(20)]
        rows = sorted(range(100_000), key=lambda i: -i)
        out = [net(each) for each in data]
        """,
    "longer than the trace": """
        for _ in range(300):
            y = net(x)
            time.sleep(0.005)
        """,
}


def sums() -> Result:
    """Over the zoo and some cells: the sum of all self times and of what is unattributed, against the wall time.

    A report gives all times on the scale of the clean timing, so the sums of a model are held against the call as the
    trace has it, from the call's beginning to its end.
    """
    rows, skipped = [], []
    for entry in ENTRIES:
        found = _of_model(entry)
        if found is None:
            skipped.append(entry.name)
        else:
            rows.append({"model": entry.name, **found})
    cells = [{"cell": name, **_of_cell(source)} for name, source in CELLS.items()]
    result: Result = {
        "bar": f"each within {BAR:.0%} of the wall time",
        "models": len(rows),
        "skipped": skipped,
    }
    worst = 0.0
    for kind in ("ops", "modules", "lines"):
        each = sorted(rows, key=lambda row: -abs(row[kind]))
        result[kind] = {**quartiles([abs(row[kind]) for row in rows]), "worst": each[0]["model"],
                        "above_bar": [row["model"] for row in each if abs(row[kind]) > BAR]}  # fmt: skip
        worst = max(worst, abs(each[0][kind]))
    result["in_no_op"] = quartiles([row["in_no_op"] for row in rows])
    result["in_no_line"] = quartiles([row["in_no_line"] for row in rows])
    result["cells"] = cells
    worst = max(worst, *(abs(cell["lines"]) for cell in cells))
    return {**result, "holds": worst <= BAR, "ratio": 1 + worst, "rows": rows}


def _of_model(entry: Entry) -> Result | None:
    """By kind: the sum for one call over its wall time, less 1."""
    with zoo_workload(entry) as ready:
        if ready is None:
            return None
        workload, calls = ready
        trace(workload, lines=True, calls=1)
        done = trace(workload, lines=True, calls=calls)
        found, rows = done.attributed()
    if not found.call_ms:
        return None
    in_no_op, in_no_line = found.unattributed_ms or 0.0, rows.trace.unattributed_ms or 0.0
    sums_ms = {
        "ops": sum(op.self_ms for op in found.ops) + in_no_op,
        "modules": sum(row.self_ms for row in found.modules),
    }
    lined_ms = sum(line.self_ms or 0.0 for line in rows.rows) + in_no_line
    return {
        **{kind: value / found.call_ms - 1 for kind, value in sums_ms.items()},
        "lines": lined_ms / (rows.trace.total_ms or math.nan) - 1, "call_ms": found.call_ms,
        "in_no_op": in_no_op / found.call_ms, "in_no_line": in_no_line / found.call_ms,
        "calls": found.calls,
    }  # fmt: skip


def _of_cell(source: str) -> Result:
    """The lines of a cell's run over its wall time without that of ending the recording, by clocks of our own, less 1."""
    text = textwrap.dedent(source)
    linecache.cache[_FILE] = (len(text), None, text.splitlines(keepends=True), _FILE)
    net = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256)).eval()
    names: dict[str, Any] = {"torch": torch, "time": time, "net": net, "x": torch.randn(256, 256)}
    stop, endings_ms = Recorder.stop, [0.0]

    def timed(recorder: Recorder) -> None:
        began = time.perf_counter()
        stop(recorder)
        endings_ms.append(1e3 * (time.perf_counter() - began))

    with (
        mock.patch.object(Recorder, "stop", timed),
        watch(cell=text, cell_of={_FILE: Cell("this cell")}.get) as seen,
    ):
        began = time.perf_counter()
        exec(compile(text, _FILE, "exec"), names)  # noqa: S102 (a cell)
        wall_ms = 1e3 * (time.perf_counter() - began)
        # where the recording ended within the cell, that took time which is none of its lines'
        ending_ms = sum(endings_ms)
    with short_timings():
        report = seen.session(net).report
    told = report.line_trace
    assert told is not None
    in_no_line = told.unattributed_ms or 0.0
    return {"wall_ms": wall_ms, "ending_ms": ending_ms, "status": told.status, "in_no_line": in_no_line / wall_ms,
            "lines": (sum(line.self_ms or 0.0 for line in report.lines) + in_no_line) / (wall_ms - ending_ms) - 1}  # fmt: skip
