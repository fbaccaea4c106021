"""Where the time goes, in a handful of groups: layers by class, and the rest by op."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_optim.report import ModuleRow, Op

OUTSIDE = "outside any layer"
"""Label of the group of all that is in no layer and too small to be named by its op."""

_WORTH_NAMING = 0.02


@dataclass(frozen=True, slots=True)
class TimeGroup:
    """Ops that a reader thinks of as one thing, such as all ``Linear`` layers."""

    label: str
    """``36 Linear``, or the op's short name, or `OUTSIDE`."""
    class_name: str | None
    """Class of the layers; None for ops outside layers."""
    modules: tuple[str, ...]
    """Qualified names of the modules that the ops are in."""
    ms: float
    share: float
    """Fraction of the call's time."""
    ops: tuple[Op, ...] = ()


def time_groups(report_ops: Iterable[Op], report_modules: Iterable[ModuleRow]) -> tuple[TimeGroup, ...]:
    """Group ops by the class of their layer, and ops outside layers by name; largest first.

    A layer is a module within which no other module was called. Ops between layers, such as the attention of a
    transformer, form a group by op name if they take 2% of the op time or more, and else belong to `OUTSIDE`. The
    groups' `ms` sum to the time of all ops.
    """
    ops = tuple(report_ops)
    classes = _layer_classes(report_modules)
    worth_naming = _ops_worth_naming(ops, classes)
    times: dict[tuple[str | None, str], list[Op]] = defaultdict(list)
    for op in ops:
        class_name = classes.get(op.module) if op.module is not None else None
        named = op.name in worth_naming
        times[class_name, "" if class_name else short_op(op.name) if named else OUTSIDE].append(op)
    groups = (_group(class_name, name, members) for (class_name, name), members in times.items())
    return tuple(sorted(groups, key=lambda group: -group.ms))


def short_op(name: str) -> str:
    """An op's name as a reader knows it: ``aten::addmm`` is ``addmm``."""
    short = name.rpartition("::")[2].lstrip("_")
    for ending in ("_for_cpu", "_default"):
        short = short.removesuffix(ending)
    return short or name


def _layer_classes(rows: Iterable[ModuleRow]) -> dict[str, str]:
    """For each layer's path, its class name."""
    called = {row.path: row.class_name for row in rows if row.calls > 0}
    holders = {path[:at] for path in called for at, char in enumerate(path) if char == "."}
    if len(called) > 1:
        holders.add("")
    return {path: class_name for path, class_name in called.items() if path not in holders}


def _ops_worth_naming(ops: tuple[Op, ...], classes: dict[str, str]) -> set[str]:
    between: dict[str, float] = defaultdict(float)
    for op in ops:
        if op.module not in classes:
            between[op.name] += op.self_ms
    threshold = _WORTH_NAMING * sum(op.self_ms for op in ops)
    return {name for name, ms in between.items() if ms >= threshold and ms > 0}


def _group(class_name: str | None, name: str, ops: list[Op]) -> TimeGroup:
    modules = tuple(dict.fromkeys(op.module for op in ops if op.module is not None))
    if class_name is not None:
        name = f"{len(modules)} {class_name}"
    ms, share = sum(op.self_ms for op in ops), sum(op.share for op in ops)
    return TimeGroup(name, class_name, modules, ms, share, tuple(ops))
