"""The one sentence that says it all: how long, how sure, where, and how much better than at first."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from jupyter_optim.analysis.groups import OUTSIDE, TimeGroup, time_groups
from jupyter_optim.analysis.roofline import bound_of, bound_words
from jupyter_optim.analysis.speedups import product
from jupyter_optim.render import format as fmt
from jupyter_optim.report import Interval, Report, StepRecord

_WORTH_SAYING = 0.1


@dataclass(frozen=True, slots=True)
class Gain:
    """What the steps that stand have brought, all together."""

    speedup: Interval | None
    size_ratio: float | None
    """Weight bytes now over weight bytes at first."""
    before_ms: float | None
    """Time of a call at first, at the machine's present speed."""
    now_ms: float | None


def standing(report: Report) -> tuple[StepRecord, ...]:
    """The steps that the model carries now."""
    return tuple(step for step in report.history if step.accepted and not step.undone)


def gain(report: Report, baseline: Report | None = None) -> Gain | None:
    """How the model compares to what it was at first; None if it is as it was.

    The speed-up is the product of the steps' own: each was timed side by side with its predecessor, so the clock's
    drift between two reports is not in it. The product of the intervals' ends is wider than the interval of the
    product, so it claims too little, not too much.
    """
    steps = standing(report)
    if not steps:
        return None
    speedup = product(step.speedup for step in steps)
    now_ms = fmt.known(report.latency.median_ms)
    now_ms = now_ms if now_ms is not None else fmt.known(steps[-1].after_ms)
    before_ms = fmt.known(baseline.latency.median_ms if baseline else steps[0].before_ms)
    if speedup is not None and now_ms is not None:
        # not the median of the first report: the machine may have run at another speed then
        before_ms = now_ms * speedup.median
    return Gain(speedup, _size_ratio(report, baseline, steps), before_ms, now_ms)


def headline(report: Report, baseline: Report | None = None) -> str:
    """One sentence in plain words; names of code stand between backticks.

    Args:
        report: what is told.
        baseline: the report before any change, if there is one.
    """
    work = report.workload
    code = work.expression if work.origin == "expression" and work.expression else work.model
    name = f"`{_name(code)}`"
    latency = report.latency
    if fmt.known(latency.median_ms) is None:
        return (
            f"{name} could not be timed: {_sentence(latency.reason or work.reason or 'no reason was given')}"
        )
    time = fmt.duration_interval(latency.median_ms, latency.low_ms, latency.high_ms)
    about = "about " if latency.status == "estimated" else ""
    mode = " in training mode" if work.training else ""
    if work.origin == "trace":
        what = "a step" if latency.repeats else "in all"
        return f"{name}: {what} {time} {place_of(report)}, the profiler's own work included{_where(report)}."
    place = "" if work.replayed else ", as seen in the cell's own run"
    change = better(gain(report, baseline))
    return f"{name} takes {about}{time} {place_of(report)}{mode}{place}{change}{_where(report)}."


def better(change: Gain | None) -> str:
    """`, 4.2x faster than at first (95% CI 4.0 to 4.4) and 62% smaller`, or nothing if nothing was changed."""
    if change is None:
        return ""
    parts = [_speed_words(change.speedup)] if change.speedup else []
    smaller = fmt.size_change(change.size_ratio)
    if smaller and smaller != "same size":
        parts.append(smaller)
    return f", {' and '.join(parts)}" if parts else ""


def place_of(report: Report) -> str:
    """Where the model ran: ``on 2 CPU threads``, or the GPU's name."""
    device = report.workload.device
    kind, _, index = device.partition(":")
    if kind == "cpu":
        threads = report.environment.threads
        return "on the CPU" if threads is None else f"on {fmt.plural(threads, 'CPU thread')}"
    name = _gpu_name(report, int(index) if index.isdigit() else 0) if kind == "cuda" else None
    return f"on {fmt.visible(name or device)}"


def _gpu_name(report: Report, index: int) -> str | None:
    """Name of a GPU by torch's index. The driver counts in another order, and tells which one it watched."""
    seen = report.hardware.samples
    if seen is not None and len(seen.gpus) == 1:
        return seen.gpus[0].name
    gpus = report.environment.gpus
    if seen is not None and seen.gpus and len({gpu.name for gpu in gpus}) > 1:
        return None  # it could not be told which of them it was
    return next((gpu.name for gpu in gpus if gpu.index == index), None)


def _name(text: str) -> str:
    return fmt.shorten(fmt.visible(text).replace("`", "'"), 60)


def _sentence(text: str) -> str:
    return fmt.visible(text).strip().rstrip(".") + "."


def _where(report: Report) -> str:
    groups = [group for group in time_groups(report.ops, report.modules) if group.share >= _WORTH_SAYING]
    if not groups or groups[0].modules == ("",):
        return ""
    bound = bound_of(op for op in report.ops if op.module in groups[0].modules)
    limit = f", {bound_words(*bound)}" if bound is not None else ""
    return f"; {fmt.share(groups[0].share)} of it {_group_words(groups[0])}{limit}"


def _group_words(group: TimeGroup) -> str:
    if group.class_name is not None:
        number = len(group.modules)
        return f"in {number} `{_name(group.class_name)}` layer{'' if number == 1 else 's'}"
    return OUTSIDE if group.label == OUTSIDE else f"in `{_name(group.label)}`"


def _speed_words(speedup: Interval) -> str:
    if speedup.low > 1:
        return f"{fmt.ratio(speedup.median)} faster than at first {_interval(speedup.low, speedup.high)}"
    if speedup.high < 1 and speedup.low > 0:
        return f"{fmt.ratio(1 / speedup.median)} slower than at first {_interval(1 / speedup.high, 1 / speedup.low)}"
    return "no faster than at first"


def _interval(low: float, high: float) -> str:
    return f"(95% CI {fmt.ratio(low)[:-1]} to {fmt.ratio(high)[:-1]})"


def _size_ratio(report: Report, baseline: Report | None, steps: tuple[StepRecord, ...]) -> float | None:
    if baseline is not None and baseline.memory.weights_bytes and report.memory.weights_bytes is not None:
        return report.memory.weights_bytes / baseline.memory.weights_bytes
    ratios = [ratio for step in steps if (ratio := fmt.known(step.size_ratio)) is not None]
    return prod(ratios) if ratios else None
