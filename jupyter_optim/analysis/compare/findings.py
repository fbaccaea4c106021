"""From changes to sentences: what is worth knowing of two reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from jupyter_optim.analysis.compare.comparison import (
    OTHER,
    REST,
    Change,
    GroupChange,
    LineChange,
    ModuleChange,
    SizeChange,
)
from jupyter_optim.analysis.compare.pair import Pair
from jupyter_optim.analysis.compare.side import UNSURE
from jupyter_optim.analysis.words import duration
from jupyter_optim.report import Finding, Severity

_WORTH_TELLING = 0.05
_TIMES_OVER = 10
_SIZES = {
    "weights": ("Weights take", "less", "more"),
    "peak": ("Peak memory is", "lower", "higher"),
    "activations": ("Activations take", "less", "more"),
}


def group_findings(pair: Pair, groups: Sequence[GroupChange], rest: Change) -> Iterator[Finding]:
    """What became of layers first, then what changed by more than a little."""
    for group in filter(_became, groups):
        what = f"{_layers(group, group.class_before)} became {group.class_after}"
        yield _finding(pair, "class", what, group, group.modules)
    for group in groups:
        if not _became(group) and _worth_telling(pair, group):
            yield _finding(pair, "group", f"{_subject(group)}{_got(group)}", group, group.modules)
    if _worth_telling(pair, rest):
        yield _finding(pair, "group", f"Time {REST}{_got(rest)}", rest)


def line_findings(pair: Pair, lines: Sequence[LineChange]) -> Iterator[Finding]:
    """The two lines that changed most."""
    for line in lines[:2]:
        if _worth_telling(pair, line):
            yield _finding(pair, "line", f"`{line.text.strip()}` ({line.name}){_got(line)}", line)


def alike_finding(pair: Pair, groups: Sequence[GroupChange]) -> Iterator[Finding]:
    """All of an unchanged model slower by one factor: that is how another machine, or a busy one, looks."""
    large = [
        (group.name, group.before_ms, group.after_ms)
        for group in groups
        if group.before_ms and group.after_ms and min(group.before_ms, group.after_ms) >= 4 * pair.floor_ms
    ]
    factors = [math.log(after / before) for _, before, after in large]
    one = len(factors) >= 3 and max(factors) - min(factors) <= UNSURE
    if one and pair.changed and not any(map(_became, groups)):
        yield Finding(
            kind="alike", title=f"All parts got {pair.latency.verdict} alike", share=None, severity="medium",
            text="No layer has changed its class, and each group's time changed by about the same factor. That is how "
            "another speed of the machine looks, or another program beside it, rather than another model.",
            evidence=tuple(f"{name}: {duration(before)} -> {duration(after)}" for name, before, after in large[:5]),
        )  # fmt: skip


def size_findings(sizes: Sequence[SizeChange]) -> Iterator[Finding]:
    """What takes less memory, or more."""
    for size in sizes:
        if size.status in ("smaller", "larger"):
            subject, less, more = _SIZES[size.name]
            by = "" if size.ratio is None or size.ratio > _TIMES_OVER else f"{abs(1 - size.ratio):.0%} "
            title = f"{subject} {by}{less if size.status == 'smaller' else more}"
            text = f"{title}: {_bytes(size.before_bytes)} -> {_bytes(size.after_bytes)}."
            yield Finding(kind="size", title=title, text=text, share=None, severity="info")


def noise_finding(modules: Sequence[ModuleChange]) -> Iterator[Finding]:
    """How many modules did not change."""
    still = sum(row.status == "noise" for row in modules)
    if still:
        title = f"{still} of {len(modules)} modules changed by no more than noise"
        yield Finding(kind="noise", title=title, text=f"{title}.", share=None, severity="info")


def _finding(pair: Pair, kind: str, what: str, change: Change, modules: tuple[str, ...] = ()) -> Finding:
    title = (
        f"{what}: {' -> '.join(duration(ms) for ms in (change.before_ms, change.after_ms) if ms is not None)}"
    )
    if change.status == "noise":
        return Finding(kind=kind, title=title, text=f"{title}, no change beyond noise.", share=None, severity="info",
                       modules=modules[:50])  # fmt: skip
    words, share = "", change.share
    if share is not None and share > 0 and kind != "line":
        gained = "gained" if change.delta_ms < 0 else "lost"
        words = f", {min(share, 1.0):.0%} of what was {gained}"
    elif share is not None and share < 0:
        words = f", though the call got {pair.latency.verdict}"
    part = abs(change.delta_ms) / pair.longer_ms
    severity: Severity = "high" if part >= 0.3 else "medium" if part >= 0.1 else "low"
    return Finding(kind=kind, title=title, text=f"{title}{words}.", share=share, severity=severity,
                   evidence=(f"noise up to {duration(change.noise_ms)}",), modules=modules[:50])  # fmt: skip


def _became(group: GroupChange) -> bool:
    return None not in (group.class_before, group.class_after) and group.class_before != group.class_after


def _worth_telling(pair: Pair, change: Change) -> bool:
    least = max(_WORTH_TELLING * abs(pair.latency.delta_ms or 0.0), 2 * pair.floor_ms)
    return change.status != "noise" and abs(change.delta_ms) >= least


def _subject(group: GroupChange) -> str:
    if group.name == OTHER:
        return f"Time in {OTHER}"
    kind = _kind(group)
    return f"`{group.name}`" if kind is None else _layers(group, kind)


def _kind(group: GroupChange) -> str | None:
    """The layers' class, after if there are any; None if the group is an op."""
    return group.class_before if group.class_after is None else group.class_after


def _layers(group: GroupChange, kind: str | None) -> str:
    number = len(group.modules)
    return f"{number} {kind} layer{'' if number == 1 else 's'}"


def _got(change: Change) -> str:
    if change.status not in ("new", "gone"):
        return f" got {change.status}"
    many = isinstance(change, GroupChange) and _kind(change) is not None and len(change.modules) > 1
    return f" {'are' if many else 'is'} {change.status}"


def _bytes(value: int | None) -> str:
    number = float(value or 0)
    for unit in ("B", "KB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB"
