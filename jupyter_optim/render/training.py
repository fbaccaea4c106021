"""The tables of a training step: its phases, and what takes each of them."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_optim.render import format as fmt
from jupyter_optim.render.tables import NOTHING, Column, Table, table
from jupyter_optim.report import Phase, PhasePart, Report, Training

_ROOT = "(the model itself)"


def phase_table(report: Report) -> Table | None:
    """Where the time of a training step goes, with the memory below it."""
    training = report.training
    if training is None:
        return None
    columns = (Column("Phase"), Column("Time", "number"), Column("Share", "number"), Column("", "bar"),
               Column("Ops", "number"), Column("Memory", "number"), Column("Mostly", "detail"))  # fmt: skip
    rows = [
        (phase.name, fmt.duration(phase.ms), fmt.share(phase.share), fmt.bar(phase.share),
         NOTHING if phase.ops is None else fmt.count(round(phase.ops)),
         NOTHING if phase.peak_bytes is None else fmt.size(phase.peak_bytes), _mostly(phase))
        for phase in training.phases
    ]  # fmt: skip
    title = (
        f"A training step: {fmt.duration(training.step_ms)} ({fmt.plural(training.steps, 'step')}, profiled)"
    )
    return table("phases", title, columns, rows, _held(training))


def part_tables(report: Report) -> tuple[Table, ...]:
    """For each phase of a training step, the lines, modules and ops that take most of it."""
    phases = () if report.training is None else report.training.phases
    columns = (Column("What"), Column("Name", "code"), Column("Time", "number"), Column("Share", "number"),
               Column("", "bar"))  # fmt: skip
    found = [
        table(f"phase-{phase.name}", f"{phase.name}: {fmt.duration(phase.ms)} of a step", columns, _rows(phase))
        for phase in phases
    ]  # fmt: skip
    return tuple(each for each in found if each is not None)


def _rows(phase: Phase) -> list[tuple[str, ...]]:
    return [
        (what, _name(part), fmt.duration(part.ms), fmt.share(part.share), fmt.bar(part.share))
        for what, parts in _kinds(phase)
        for part in parts
    ]


def _kinds(phase: Phase) -> tuple[tuple[str, Sequence[PhasePart]], ...]:
    return (("line", phase.top_lines), ("module", phase.top_modules), ("op", phase.top_ops))


def _name(part: PhasePart) -> str:
    return fmt.visible(part.name) or _ROOT


def _mostly(phase: Phase) -> str:
    """The largest line, module and op of a phase: ``line this cell:8 98%, op aten::mm 75%``."""
    return ", ".join(
        f"{what} {fmt.shorten(_name(parts[0]), 40)} {fmt.share(parts[0].share)}"
        for what, parts in _kinds(phase)
        if parts
    )


def _held(training: Training) -> str:
    """Who holds the memory when most is held: ``At most 13 MB held: optimizer state 8 MB, weights 4 MB``."""
    if not training.at_peak:
        return ""
    kinds = ", ".join(f"{each.kind} {fmt.size(each.bytes)}" for each in training.at_peak)
    if training.peak_bytes is None:
        return f"When most was held, besides the weights: {kinds}"
    return f"At most {fmt.size(training.peak_bytes)} held: {kinds}"
