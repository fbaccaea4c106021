"""What to mind about two reports, in plain words: what besides the model is not alike, and what one of them lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from jupyter_optim.analysis.compare.comparison import LatencyChange
from jupyter_optim.analysis.compare.side import UNSURE, Side
from jupyter_optim.analysis.compare.steps import Between
from jupyter_optim.report import Report

_Facts = Mapping[str, Callable[[Report], object]]

_MACHINE: _Facts = {
    "CPU": lambda report: report.environment.cpu_model,
    "GPU": lambda report: None if report.workload.device.startswith("cpu") else (
        _names(gpu.name for gpu in report.environment.gpus)),
    "number of torch's threads": lambda report: report.environment.threads,
    "torch version": lambda report: report.environment.torch,
    "Python version": lambda report: report.environment.python,
    "system": lambda report: report.environment.os,
}  # fmt: skip
_CALL: _Facts = {
    "shape of the inputs": lambda report: _names(
        f"{each.name} {list(each.shape)}" for each in report.workload.inputs if each.shape is not None
    ),
    "type of the inputs": lambda report: _names(
        f"{each.name} {each.dtype or each.kind}" for each in report.workload.inputs
    ),
    "batch size": lambda report: report.workload.batch_size,
    "device": lambda report: report.workload.device,
    "mode": lambda report: "training" if report.workload.training else "eval",
    "tracking of gradients": lambda report: "on" if report.workload.grad else "off",
    "autocast": lambda report: report.workload.autocast or "off",
    "expression": lambda report: report.workload.expression,
    "timing": lambda report: "of replayed calls" if report.workload.replayed else "of the cell's own run",
}
_MODEL: _Facts = {
    "model's class": lambda report: report.workload.model,
    "dtype of the weights": lambda report: report.workload.dtype,
    "number of parameters": lambda report: _count(report.memory.parameters),
}


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def other_call(before: Report, after: Report) -> tuple[str, ...]:
    """Differences of the machine and of the call."""
    machine = _unlike(before, after, "Another machine or software", _MACHINE)
    return (*machine, *_unlike(before, after, "Another call", _CALL))


def other_model(before: Report, after: Report) -> tuple[str, ...]:
    """Differences of the model itself: the steps between two reports may well be these."""
    return tuple(_unlike(before, after, "Another model", _MODEL))


def weak(*sides: Side) -> Iterator[str]:
    """Where a report, before or after, holds less than a comparison needs."""
    for which, side in zip(("before", "after"), sides, strict=True):
        report, reason = side.report, side.report.trace.reason
        if report.partial is not None:
            yield f"The report {which} is incomplete: {report.partial.rstrip('.')}."
        if side.call is not None and not side.sure:
            yield (
                f"The report {which} was timed by {report.latency.repeats} calls, too few for an interval: "
                f"{UNSURE:.0%} to either side is assumed."
            )
        if not report.ops:
            why = (reason or "no reason was given").rstrip(".")
            yield f"The report {which} has no trace, so no rows: {why}."
        elif reason:
            yield f"The rows of the report {which} are limited: {reason.rstrip('.')}."


def drifted(latency: LatencyChange, between: Between | None) -> Iterator[str]:
    """Where the two reports' own times are not to be believed."""
    if latency.drifted and latency.measured is not None and between is not None:
        older = "before" if between.after_is_newer else "after"
        yield (
            f"By the two reports' own times the speed-up is {latency.measured.median:.3g}x: the machine ran at another "
            f"speed, or something besides the steps has changed. Times {older} are given at the other report's speed."
        )


def _unlike(before: Report, after: Report, kind: str, facts: _Facts) -> Iterator[str]:
    for name, fact in facts.items():
        a, b = fact(before), fact(after)
        if a != b:
            yield f"{kind}: the {name} was {_or_unknown(a)} before, and {_or_unknown(b)} after."


def _or_unknown(value: object) -> str:
    text = "not known" if value in (None, "") else str(value)
    return text if len(text) <= 120 else text[:119] + "…"


def _names(found: Iterable[str | None]) -> str:
    return ", ".join(each or "unnamed" for each in found)
