"""A trace of some calls as a report makes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.rows import LineRows, line_rows, name_of
from jupyter_optim.profiling.lines.times import line_times
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.ops.attribute import Attribution, attribute
from jupyter_optim.profiling.replay import calls_to_trace, record_calls
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.columns import Columns
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.profiling.trace.steps import steps
from jupyter_optim.workload import Workload
from tests.zoo import Entry


@dataclass(frozen=True)
class Traced:
    """Some calls that were recorded."""

    workload: Workload
    recorder: Recorder
    ranges: ModuleRanges
    lines: LineRanges
    code: UserCode

    @cached_property
    def columns(self) -> Columns:
        """The recorded events, read when they are first asked for."""
        return self.recorder.columns()

    @property
    def wall_s(self) -> list[float]:
        """Wall time of each call."""
        return [float(each) / 1e9 for each in self.columns.duration[steps(self.columns)]]

    def attributed(self) -> tuple[Attribution, LineRows]:
        """Rows of ops, modules and lines for one call."""
        columns = self.columns
        names = [name_of(place, self.code) for place in self.lines.lines]
        found = attribute(columns, self.ranges.modules, self.workload.model, names)
        rows = line_rows(
            line_times(columns, self.lines.lines), self.code,
            total_ns=float(columns.duration[steps(columns)].sum()), executions=len(self.wall_s), estimated=False,
            method="a range for each line",
        )  # fmt: skip
        return found, rows


def trace(workload: Workload, *, lines: bool, calls: int, usual_s: float = 0.0) -> Traced:
    """Record `calls` calls as a report does, with ranges for the lines of the model's own code if `lines`."""
    code, ranges = UserCode(), ModuleRanges()
    line_ranges = LineRanges(code)
    recorder = record_calls(workload, calls, usual_s, ranges, line_ranges if lines else None)
    return Traced(workload, recorder, ranges, line_ranges, code)


@contextmanager
def zoo_workload(entry: Entry) -> Iterator[tuple[Workload, int] | None]:
    """A model of the zoo, warm, and how many calls of it a report would trace; None if it cannot be called again."""
    workload = Workload.of_call(*entry.build()).probed()
    if workload.obstacle is not None:
        yield None
        return
    with workload.undisturbed(workload.model), workload.mode.applied(workload.model):
        try:
            usual_s = min(_once_s(workload) for _ in range(3))
        except Exception:  # noqa: BLE001 (some models of the zoo refuse a later call)
            usual_s = None
        yield None if usual_s is None else (workload, calls_to_trace(usual_s))


def _once_s(workload: Workload) -> float:
    args, kwargs = workload.fresh_inputs()
    began = time.perf_counter()
    workload.call(workload.model, args, kwargs)
    return time.perf_counter() - began
