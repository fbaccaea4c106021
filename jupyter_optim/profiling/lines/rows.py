"""From times of lines to rows of the report."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from jupyter_optim.profiling.lines.stack_sampler import Place
from jupyter_optim.profiling.lines.times import LineTimes
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.report import Line, LineTrace

_LEAST_SHARE = 0.0005
_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class LineRows:
    """What a report says of the lines."""

    rows: tuple[Line, ...]
    trace: LineTrace
    caller: str | None = None
    """``source:lineno`` of the line that calls the model, if that is known."""

    def scaled(self, total_ms: float | None) -> LineRows:
        """The same shares of an execution of `total_ms`."""
        if not self.trace.total_ms or not total_ms:
            return self
        factor = total_ms / self.trace.total_ms
        rows = tuple(
            replace(row, ms=row.ms * factor, self_ms=(row.self_ms or 0.0) * factor) for row in self.rows
        )
        left = (self.trace.unattributed_ms or 0.0) * factor
        return LineRows(rows, replace(self.trace, total_ms=total_ms, unattributed_ms=left), self.caller)


def no_lines(reason: str) -> LineRows:
    """What is said where no line was timed."""
    return LineRows(
        (), LineTrace(total_ms=None, unattributed_ms=None, status="unavailable", method="", reason=reason)
    )


def line_rows(
    times: LineTimes, code: UserCode, *, total_ns: float, executions: int = 1, estimated: bool, method: str,
    reason: str | None = None, caller: Place | None = None,
) -> LineRows:  # fmt: skip
    """Rows of the lines that cost anything, the dearest first.

    Args:
        times: sums over all executions.
        code: names the lines.
        total_ns: wall time of all executions, which shares are shares of.
        executions: how many there were; the rows are of one.
        estimated: whether a part was sampled.
        method: how the times were got.
        reason: what limits them.
        caller: the line that calls the model.
    """
    rows = []
    for place, inclusive in times.inclusive.items():
        share = inclusive / total_ns if total_ns else 0.0
        shown = code.place(place[0])
        if shown is None or share < _LEAST_SHARE:
            continue
        line = Line(
            source=shown.name, lineno=place[1] + shown.offset, text=code.text(*place).strip(),
            ms=inclusive / executions / 1e6, share=share, self_ms=max(0.0, times.own[place]) / executions / 1e6,
            bytes=times.bytes.get(place), estimated=estimated,
            gpu_ms=None if estimated or place not in times.on_device else times.on_device[place] / executions / 1e6,
        )  # fmt: skip
        rows.append(line)
    rows.sort(key=lambda row: -row.ms)
    attributed = sum(times.own.values())
    trace = LineTrace(
        total_ms=total_ns / executions / 1e6, unattributed_ms=max(0.0, total_ns - attributed) / executions / 1e6,
        status="estimated" if estimated else "measured", method=method, reason=reason,
    )  # fmt: skip
    return LineRows(tuple(rows[:_MOST_ROWS]), trace, None if caller is None else name_of(caller, code))


def name_of(place: Place, code: UserCode) -> str | None:
    """``source:lineno``, or None for a library's line."""
    shown = code.place(place[0])
    return None if shown is None else f"{shown.name}:{place[1] + shown.offset}"
