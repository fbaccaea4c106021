"""A trace of some calls as a report makes it, with a clock beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from jupyter_optim.profiling.lines.ranges import LineRanges
from jupyter_optim.profiling.lines.rows import LineRows, line_rows, name_of
from jupyter_optim.profiling.lines.times import line_times
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.ops.attribute import Attribution, attribute
from jupyter_optim.profiling.replay import recording
from jupyter_optim.profiling.trace.annotate import ModuleRanges
from jupyter_optim.profiling.trace.columns import Columns
from jupyter_optim.profiling.trace.record import Recorder
from jupyter_optim.workload import Workload
from tests.zoo import Entry

CALLS, SECONDS = 3, 0.3
"""A report traces at most this many calls, and about this long."""


@dataclass(frozen=True)
class Traced:
    """Some calls that were recorded, and the wall time of each by a clock of our own."""

    workload: Workload
    recorder: Recorder
    ranges: ModuleRanges
    lines: LineRanges
    code: UserCode
    wall_s: tuple[float, ...]

    def attributed(self, columns: Columns) -> tuple[Attribution, LineRows]:
        """Rows of ops, modules and lines for one call."""
        names = [name_of(place, self.code) for place in self.lines.lines]
        found = attribute(columns, self.ranges.modules, self.workload.model, names)
        rows = line_rows(
            line_times(columns, self.lines.lines), self.code,
            total_ns=(found.call_ms or 0.0) * found.calls * 1e6, executions=found.calls or 1, estimated=False,
            method="a range for each line",
        )  # fmt: skip
        return found, rows


def trace(workload: Workload, *, lines: bool, calls: int) -> Traced:
    """Record `calls` calls, with a range for each module call, and for each line of the model's own code if `lines`.

    Nothing is kept from one to the next, as in a report: a line's first run costs more than its later ones.
    """
    code, ranges, recorder = UserCode(), ModuleRanges(), Recorder(memory=True, shapes=True)
    line_ranges = LineRanges(code)
    inputs = [workload.fresh_inputs() for _ in range(calls)]
    wall_s = []
    with (
        workload.mode.applied(workload.model), ranges, recording(recorder),
        line_ranges if lines else nullcontext(),
    ):  # fmt: skip
        for args, kwargs in inputs:
            with ranges.root(workload.model):
                began = time.perf_counter()
                workload.call(workload.model, args, kwargs)
                wall_s.append(time.perf_counter() - began)
    return Traced(workload, recorder, ranges, line_ranges, code, tuple(wall_s))


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
        yield None if usual_s is None else (workload, max(1, min(CALLS, int(SECONDS / usual_s))))


def _once_s(workload: Workload) -> float:
    args, kwargs = workload.fresh_inputs()
    began = time.perf_counter()
    workload.call(workload.model, args, kwargs)
    return time.perf_counter() - began
