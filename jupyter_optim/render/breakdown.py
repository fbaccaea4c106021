"""Where the time goes, at first and now, as rows that a picture can draw: one colour, one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_optim.analysis.groups import OUTSIDE, TimeGroup, time_groups
from jupyter_optim.render import format as fmt
from jupyter_optim.render.headline import gain
from jupyter_optim.render.palette import BLUE, GREEN, ORANGE, PINK, SKY
from jupyter_optim.report import Report

OTHER = "other ops"
BETWEEN = "between ops (Python)"
IDLE = "the GPU is idle"
UNDIVIDED = "not broken down"

DARK_GREY = "#7d8894"

_ROWS = 5
_COLORS = (BLUE, ORANGE, GREEN, PINK, SKY)
_GREYS = {OTHER: "#9aa2ab", BETWEEN: "#cfd4d9", IDLE: "#cfd4d9", UNDIVIDED: DARK_GREY}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that takes time; None where it is not part of that bar."""

    label: str
    first_ms: float | None
    now_ms: float | None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The parts of a call, largest first; their `now_ms` sum to `now_ms`, and likewise at first."""

    parts: tuple[Part, ...]
    first_ms: float | None
    """Time of one call before any change; None if nothing was changed."""
    now_ms: float


def breakdown(report: Report, baseline: Report | None = None) -> Breakdown | None:
    """What one call consists of, or None if that is not known.

    Shares come from the traced call and times from the clean timing, so the parts are shares of the latter.
    """
    now_ms = _call_ms(report)
    if now_ms is None:
        return None
    now, left = _shares(report), BETWEEN if report.gpu is None else IDLE
    change = gain(report, baseline)
    if change is None or change.before_ms is None:
        return Breakdown(_parts({}, now, None, now_ms, left), None, now_ms) if now else None
    first = _shares(baseline) if baseline is not None else {}
    if not now and not first:
        return None
    if first:
        now = _renamed(report, baseline, now)
    parts = _parts(first or {UNDIVIDED: 1.0}, now or {UNDIVIDED: 1.0}, change.before_ms, now_ms, left)
    return Breakdown(parts, change.before_ms, now_ms)


def part_colors(parts: Sequence[Part]) -> dict[str, str]:
    """The colour of each part, by its label; what is no thing by itself is grey."""
    free = iter(_COLORS)
    return {part.label: _GREYS[part.label] if part.label in _GREYS else next(free) for part in parts}


def _call_ms(report: Report) -> float | None:
    for value in (report.latency.median_ms, report.trace.call_ms):
        number = fmt.known(value)
        if number is not None and number > 0:
            return number
    return None


def _shares(report: Report) -> dict[str, float]:
    """Share of the call by label, with what is in no op; sums to 1."""
    groups = [group for group in time_groups(report.ops, report.modules) if (fmt.known(group.share) or 0) > 0]
    if not groups:
        return {}
    # ops that ran side by side may sum to more than the call
    whole = max(1.0, sum(group.share for group in groups))
    shares = {group.label: group.share / whole for group in groups}
    return {**shares, BETWEEN: max(0.0, 1.0 - sum(shares.values()))}


def _renamed(report: Report, baseline: Report | None, now: dict[str, float]) -> dict[str, float]:
    """`now` under the labels at first: a layer that a technique replaced is still the same layer."""
    before = time_groups(baseline.ops, baseline.modules) if baseline is not None else ()
    result: dict[str, float] = {}
    for group in time_groups(report.ops, report.modules):
        if group.label in now:
            label = _former(group, before)
            result[label] = result.get(label, 0.0) + now[group.label]
    return {**result, BETWEEN: now.get(BETWEEN, 0.0)}


def _former(group: TimeGroup, before: tuple[TimeGroup, ...]) -> str:
    if group.class_name is None:
        return group.label
    modules = set(group.modules)
    for each in before:
        if each.class_name is not None and 2 * len(modules.intersection(each.modules)) > len(modules):
            return each.label
    return group.label


def _parts(
    first: dict[str, float], now: dict[str, float], first_ms: float | None, now_ms: float, left: str
) -> tuple[Part, ...]:
    def size(label: str) -> float:
        return max(first.get(label, 0.0) * (first_ms or 0.0), now.get(label, 0.0) * now_ms)

    labels = [label for label in {**first, **now} if label not in (OUTSIDE, BETWEEN)]
    labels.sort(key=size, reverse=True)
    named, rest = labels[:_ROWS], [*labels[_ROWS:], OUTSIDE]
    rows = [([label], label) for label in named] + [(rest, OTHER), ([BETWEEN], left)]
    parts = (
        Part(label, _sum(members, first, first_ms), _sum(members, now, now_ms)) for members, label in rows
    )
    return tuple(part for part in parts if (part.first_ms or 0) + (part.now_ms or 0) > 0)


def _sum(members: list[str], shares: dict[str, float], total_ms: float | None) -> float | None:
    found = [shares[label] for label in members if label in shares]
    return sum(found) * total_ms if found and total_ms is not None else None
