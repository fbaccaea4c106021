"""Rows of two traces side by side: groups, ops and modules, and what of the call is in none of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from jupyter_optim.analysis.compare.comparison import (
    OTHER,
    REST,
    Change,
    GroupChange,
    ModuleChange,
    OpChange,
)
from jupyter_optim.analysis.compare.matching import Match
from jupyter_optim.analysis.compare.pair import Pair
from jupyter_optim.analysis.groups import short_op, time_groups

_WORTH_NAMING = 0.02

_C = TypeVar("_C", bound=Change)


@dataclass(slots=True)
class _Sum:
    """Times of one thing in the two reports, as they add up; None where it does not occur."""

    ms: list[float | None] = field(default_factory=lambda: [None, None])
    calls: list[float | None] = field(default_factory=lambda: [None, None])
    rows: list[int] = field(default_factory=lambda: [0, 0])
    modules: dict[str, None] = field(default_factory=dict)

    def add(self, side: int, ms: float, calls: float = 0.0) -> None:
        self.ms[side] = (self.ms[side] or 0.0) + ms
        self.calls[side] = (self.calls[side] or 0.0) + calls
        self.rows[side] += 1

    @property
    def fewest(self) -> int:
        return min(count for count in self.rows if count)


def group_changes(pair: Pair, match: Match) -> tuple[GroupChange, ...]:
    """Layers by their class before and after, and other ops by name, or as `OTHER` if they take next to nothing."""
    sums: dict[tuple[str | None, str | None, str], _Sum] = defaultdict(_Sum)
    layers = _layers(pair, match)
    for i, side in enumerate(pair.sides):
        for op in side.report.ops:
            name = match.name(op.module, i)
            if name is not None and name in layers:
                found = sums[*match.classes(name), ""]
            else:
                found = sums[None, None, short_op(op.name)]
            found.add(i, op.self_ms)
            if name is not None:
                found.modules[name] = None
    small = _WORTH_NAMING * pair.longer_ms
    other, named = _Sum(ms=[0.0, 0.0]), []
    for (first, last, op_name), found in sums.items():
        layer = first is not None or last is not None
        if layer or max(ms or 0.0 for ms in found.ms) >= small:
            modules = tuple(map(match.path, found.modules))
            label = _label(len(modules), first, last) if layer else op_name
            named.append(pair.change(GroupChange, label, found.ms, found.fewest, class_before=first,
                                     class_after=last, modules=modules))  # fmt: skip
        else:
            for i, ms in enumerate(found.ms):
                if ms is not None:
                    other.add(i, ms)
    if any(other.rows):
        named.append(pair.change(GroupChange, OTHER, other.ms, other.fewest))
    return largest_first(named)


def _layers(pair: Pair, match: Match) -> set[str]:
    """Names of what is a layer, as `time_groups` sees it, in one report at least."""
    return {
        match.names[i].get(path, path)
        for i, side in enumerate(pair.sides)
        for group in time_groups(side.report.ops, side.report.modules)
        if group.class_name is not None
        for path in group.modules
    }


def _label(number: int, first: str | None, last: str | None) -> str:
    changed = first != last and first is not None and last is not None
    return f"{number} {first} -> {last}" if changed else f"{number} {last if first is None else first}"


def rest_change(pair: Pair) -> Change:
    """The time of the call that is in no op."""
    return pair.change(Change, REST, [side.rest_ms if side.report.ops else None for side in pair.sides], 1)


def op_changes(pair: Pair, match: Match, *, by_module: bool) -> tuple[OpChange, ...]:
    """Ops by name, in each module if `by_module`, or else over all."""
    sums: dict[tuple[str, str | None], _Sum] = defaultdict(_Sum)
    for i, side in enumerate(pair.sides):
        for op in side.report.ops:
            sums[op.name, match.name(op.module, i) if by_module else None].add(i, op.self_ms, op.calls)
    return largest_first(
        pair.change(OpChange, name, found.ms, found.fewest, module=None if module is None else match.path(module),
                    calls_before=found.calls[0], calls_after=found.calls[1])
        for (name, module), found in sums.items()
    )  # fmt: skip


def module_changes(pair: Pair, match: Match) -> tuple[ModuleChange, ...]:
    """Modules by own time."""
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for i, side in enumerate(pair.sides):
        for row in side.report.modules:
            sums[match.names[i][row.path]].add(i, row.self_ms)
    rows = []
    for name, found in sums.items():
        (first, last), before = match.classes(name), match.rows[0].get(name)
        rows.append(pair.change(ModuleChange, match.path(name), found.ms, 1, class_before=first, class_after=last,
                                path_before=before.path if before else None))  # fmt: skip
    return largest_first(rows)


def largest_first(rows: Iterable[_C]) -> tuple[_C, ...]:
    """By the size of the change, whichever way."""
    return tuple(sorted(rows, key=lambda row: (-abs(row.delta_ms), row.name)))
