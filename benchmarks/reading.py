"""From recorded events to a finished report, against PyTorch's own table of the same recording."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

import jupyter_optim as jo
from benchmarks.timing import Result, seconds, spread
from benchmarks.traced import Traced, trace, zoo_workload
from jupyter_optim.analysis.findings import find
from jupyter_optim.profiling.memory.of_model import memory_of
from jupyter_optim.report import Report
from tests.zoo import named

MODEL = "transformer-encoder"
RUNS = 3


def reading(count: int = 300_000) -> Result:
    """Recordings of `count` events and more with shapes and memory: read, attributed, judged and written as JSON."""
    entry = named(MODEL)
    model, inputs = entry.build()
    report = jo.optimize(model, inputs).report
    with zoo_workload(entry) as ready:
        if ready is None:
            raise RuntimeError(f"{MODEL} cannot be called again")
        workload, calls = ready
        few = trace(workload, lines=True, calls=calls).columns
        many = 1 + count * calls // len(few)
        runs = [_run(trace(workload, lines=True, calls=many), report) for _ in range(RUNS)]
    ratio = statistics.median(run["key_averages_s"] / run["ours_s"] for run in runs)
    return {
        "bar": "10 times faster than key_averages() alone", "holds": ratio >= 10, "ratio": ratio, "model": MODEL,
        "ratios": spread([run["key_averages_s"] / run["ours_s"] for run in runs]),
        **{key: spread([run[key] for run in runs])
           for key in ("ours_s", "key_averages_s", "export_s", "decode_s", "attribute_s")},
        "events": runs[0]["events"], "memory_events": runs[0]["memory_events"], "calls": runs[0]["calls"],
    }  # fmt: skip


def _run(traced: Traced, report: Report) -> Result:
    made: list[Report] = []
    parts: list[Any] = []

    def ours() -> None:
        began = time.perf_counter()
        columns = traced.columns
        parts.extend((columns, time.perf_counter() - began))
        found, rows = traced.attributed()
        bare = replace(
            report, ops=found.ops, modules=found.modules, lines=rows.rows, line_trace=rows.trace,
            memory=memory_of(traced.workload, found.peak, None),
            trace=replace(report.trace, events=found.events, calls=found.calls, call_ms=found.call_ms),
        )  # fmt: skip
        made.append(replace(bare, findings=find(bare)))
        made[-1].to_json()

    averages: list[Any] = []
    export = _Clock(traced.recorder._profiler.export_chrome_trace)
    traced.recorder._profiler.export_chrome_trace = export
    ours_s = seconds(ours)
    theirs_s = seconds(lambda: averages.extend(traced.recorder._profiler.key_averages()))
    columns, columns_s = parts
    assert made[-1].findings
    assert made[-1].trace.calls == len(traced.wall_s)
    assert {op.name for op in made[-1].ops} <= {row.key for row in averages}
    return {"ours_s": ours_s, "key_averages_s": theirs_s, "export_s": export.spent_s,
            "decode_s": columns_s - export.spent_s, "attribute_s": ours_s - columns_s, "events": len(columns),
            "memory_events": len(columns.memory), "calls": len(traced.wall_s)}  # fmt: skip


class _Clock:
    """Calls something, and keeps how long that took."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self.spent_s = 0.0

    def __call__(self, *args: Any) -> Any:
        began = time.perf_counter()
        done = self._work(*args)
        self.spent_s += time.perf_counter() - began
        return done
