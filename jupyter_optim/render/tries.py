"""What was tried, or could be, as rows that a picture can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jupyter_optim.render import format as fmt
from jupyter_optim.render.sections import state, step_label
from jupyter_optim.report import Report, StepRecord

Outcome = Literal["good", "bad", "idle"]

_ROWS = 5
_WORTHWHILE = 1.02


@dataclass(frozen=True, slots=True)
class Try:
    """A step with its measured interval of the speed-up, or a remedy with a prediction only."""

    labels: tuple[str, ...]
    """The longest first; the first that fits is drawn."""
    note: str
    outcome: Outcome
    low: float | None
    middle: float | None
    high: float | None


def tries(report: Report) -> tuple[str, list[Try], str]:
    """A title, the rows, and a note on the rows that are not there.

    The steps that were tried, if any; else the remedies that should make the model faster.
    """
    if report.history:
        steps = _chosen(report.history)
        left = len(report.history) - len(steps)
        more = f"and {fmt.plural(left, 'more step')}" if left else ""
        return "What was tried (speed-up, 95% CI)", [_step(step) for step in steps], more
    rows = [
        Try((each.label,), f"{fmt.ratio(speedup)} predicted", "good", None, speedup, None)
        for each in report.recommendations
        if (speedup := _positive(each.predicted_speedup)) is not None and speedup > _WORTHWHILE
    ][:_ROWS]
    left = len(report.recommendations) - len(rows)
    more = f"and {left} more, listed in the report" if left else ""
    return "What would help (predicted speed-up)", rows, more


def _chosen(history: Sequence[StepRecord]) -> list[StepRecord]:
    """The steps to draw, in order: what the model carries now first of all, then the latest."""
    order = sorted(range(len(history)), key=lambda i: (state(history[i]) != "kept", -i))
    return [history[i] for i in sorted(order[:_ROWS])]


def _step(step: StepRecord) -> Try:
    speedup = step.speedup
    measured = (None, None, None) if speedup is None else (speedup.low, speedup.median, speedup.high)
    low, middle, high = map(_positive, measured)
    verdict, place = step.verdict, state(step)
    note = f"{verdict}, {place}" if step.accepted else verdict
    if middle is not None:
        note = f"{fmt.ratio(middle)}{' ' if verdict == 'faster' else ', '}{note}"
    return Try((step_label(step), step.label), note, _outcome(step), low, middle, high)


def _outcome(step: StepRecord) -> Outcome:
    if state(step) == "kept":
        return "good"
    return "bad" if step.verdict in ("slower", "quality lost", "failed") else "idle"


def _positive(value: float | None) -> float | None:
    number = fmt.known(value)
    return number if number is not None and number > 0 else None
