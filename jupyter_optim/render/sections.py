"""The tables of a report, whoever shows them: text and html differ in how many rows they take."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from jupyter_optim.analysis.groups import time_groups
from jupyter_optim.render import format as fmt
from jupyter_optim.render.tables import NOTHING, Column, Table, table
from jupyter_optim.report import Finding, Line, ModuleRow, Op, Quality, Report, StepRecord

_SLOWER = 0.98
_ROOT = "(the model itself)"


def group_table(report: Report, limit: int) -> Table | None:
    """Where the time goes, in a handful of groups."""
    groups = time_groups(report.ops, report.modules)
    columns = (Column("Group"), Column("Time", "number"), Column("Share", "number"), Column("", "bar"))
    rows = [
        (fmt.visible(group.label), fmt.duration(group.ms), fmt.share(group.share), fmt.bar(group.share))
        for group in groups[:limit]
    ]
    rest = [group.share for group in groups[limit:]]
    return table("groups", "Where the time goes", columns, rows, _left_out(rest))


def module_table(report: Report, limit: int) -> Table | None:
    """The modules that take the most time themselves."""
    found = sorted(report.modules, key=lambda row: -row.self_ms)
    columns = (
        Column("Module", "code"), Column("Class", "code"), Column("Calls", "number"), Column("Self", "number"),
        Column("Share", "number"), Column("", "bar"), Column("Total", "number"), Column("Parameters", "number"),
        Column("Weights", "number"), Column("Computation", "number"),
    )  # fmt: skip
    rows = [_module_row(row) for row in found[:limit]]
    return table("modules", "Modules", columns, rows, _left_out([row.share for row in found[limit:]]))


def _module_row(row: ModuleRow) -> tuple[str, ...]:
    return (
        fmt.visible(row.path) or _ROOT, fmt.visible(row.class_name), fmt.count(row.calls), fmt.duration(row.self_ms),
        fmt.share(row.share), fmt.bar(row.share), fmt.duration(row.total_ms), fmt.count(row.params),
        _or_nothing(row.bytes, fmt.size), _or_nothing(row.flops, fmt.flop),
    )  # fmt: skip


def op_table(report: Report, limit: int) -> Table | None:
    """Ops summed by name over all modules."""
    by_name: dict[str, list[Op]] = defaultdict(list)
    for op in report.ops:
        by_name[op.name].append(op)
    found = sorted(by_name.items(), key=lambda item: -sum(op.self_ms for op in item[1]))
    columns = (
        Column("Op", "code"), Column("Calls", "number"), Column("Self", "number"), Column("Share", "number"),
        Column("", "bar"), Column("Computation", "number"), Column("Data", "number"),
    )  # fmt: skip
    rows = []
    for name, ops in found[:limit]:
        share = sum(op.share for op in ops)
        rows.append((
            _op_name(name), fmt.count(sum(op.calls for op in ops)), fmt.duration(sum(op.self_ms for op in ops)),
            fmt.share(share), fmt.bar(share), _sum_or_nothing([op.flops for op in ops], fmt.flop),
            _sum_or_nothing([op.bytes for op in ops], fmt.size),
        ))  # fmt: skip
    rest = [sum(op.share for op in ops) for _, ops in found[limit:]]
    return table("ops", "Ops", columns, rows, _left_out(rest))


def op_module_table(report: Report, limit: int) -> Table | None:
    """Ops in each module by itself, with the line that caused them."""
    found = sorted(report.ops, key=lambda op: -op.self_ms)
    columns = (
        Column("Op", "code"), Column("Module", "code"), Column("Calls", "number"), Column("Self", "number"),
        Column("Share", "number"), Column("Total", "number"), Column("Computation", "number"),
        Column("Data", "number"), Column("Bound by"), Column("Of peak", "number"), Column("Line", "code"), Column("Device"),
    )  # fmt: skip
    rows = [
        (
            _op_name(op.name), NOTHING if op.module is None else fmt.visible(op.module) or _ROOT,
            fmt.count(op.calls), fmt.duration(op.self_ms), fmt.share(op.share), fmt.duration(op.total_ms),
            _or_nothing(op.flops, fmt.flop), _or_nothing(op.bytes, fmt.size), op.bound or NOTHING,
            _or_nothing(op.of_peak, fmt.share),
            fmt.visible(op.line or NOTHING), fmt.visible(op.device),
        )
        for op in found[:limit]
    ]  # fmt: skip
    return table(
        "op-rows", "Ops of each module", columns, rows, _left_out([op.share for op in found[limit:]])
    )


def line_table(lines: Sequence[Line], limit: int, title: str = "Hot lines") -> Table | None:
    """The lines of the user's code that cost the most."""
    found = sorted(lines, key=lambda line: -line.ms)
    columns = (
        Column("Line", "code"), Column("Time", "number"), Column("Share", "number"), Column("", "bar"),
        Column("GPU", "number"), Column("Memory", "number"), Column("Code", "code"), Column("Note"),
    )  # fmt: skip
    rows = [
        (
            f"{fmt.visible(line.source)}:{line.lineno}", fmt.duration(line.ms), fmt.share(line.share),
            fmt.bar(line.share), _or_nothing(line.gpu_ms, fmt.duration), _or_nothing(line.bytes, fmt.size),
            fmt.shorten(fmt.visible(line.text.strip()), 120),
            "estimated" if line.estimated else NOTHING,
        )
        for line in found[:limit]
    ]  # fmt: skip
    left = len(found) - limit
    return table("lines", title, columns, rows, f"and {fmt.plural(left, 'more line')}" if left > 0 else "")


def recommendation_table(report: Report, limit: int) -> Table | None:
    """What would help, best first."""
    found = report.recommendations
    columns = (
        Column("Remedy"), Column("Predicted speed-up", "number"), Column("Covers", "number"),
        Column("Predicted size", "number"), Column("Technique", "code"), Column("Why", "detail"),
        Column("Risk", "detail"), Column("Prediction", "detail"),
    )  # fmt: skip
    rows = [
        (
            fmt.visible(each.label), _or_nothing(each.predicted_speedup, _predicted), _or_nothing(each.covers_share, fmt.share),
            fmt.size_change(each.predicted_size_ratio) or NOTHING, fmt.visible(each.technique),
            fmt.visible(each.reason), fmt.visible(each.risk), fmt.visible(each.method),
        )
        for each in found[:limit]
    ]  # fmt: skip
    left = len(found) - limit
    return table("recommendations", "What would help", columns, rows, f"and {left} more" if left > 0 else "")


def _predicted(speedup: float) -> str:
    return f"{fmt.ratio(speedup)} (slower)" if speedup < _SLOWER else fmt.ratio(speedup)


def memory_table(report: Report) -> Table | None:
    """What holds the memory when most is held."""
    total = sum(each.bytes for each in report.memory.at_peak)
    columns = (Column("Held by"), Column("Size", "number"), Column("Share", "number"), Column("", "bar"),
               Column("Blocks", "number"))  # fmt: skip
    rows = [
        (each.kind, fmt.size(each.bytes), fmt.share(each.bytes / total), fmt.bar(each.bytes / total),
         fmt.count(each.blocks))
        for each in report.memory.at_peak
    ]  # fmt: skip
    return table("memory", "Memory at the peak", columns, rows if total > 0 else [], "")


def holder_table(report: Report, limit: int) -> Table | None:
    """The ops whose results hold most of it."""
    found = report.memory.holders
    columns = (Column("Op", "code"), Column("Module", "code"), Column("Size", "number"), Column("Blocks", "number"),
               Column("Kind"), Column("Line", "code"))  # fmt: skip
    rows = [
        (fmt.visible(each.op or NOTHING), NOTHING if each.module is None else fmt.visible(each.module) or _ROOT,
         fmt.size(each.bytes), fmt.count(each.blocks), each.kind, fmt.visible(each.line or NOTHING))
        for each in found[:limit]
    ]  # fmt: skip
    left = len(found) - limit
    return table(
        "holders",
        "What was allocated and is held then",
        columns,
        rows,
        f"and {left} more" if left > 0 else "",
    )


def _op_name(name: str) -> str:
    """An op's name without the hash by which PyTorch tells compiled graphs apart."""
    return fmt.visible(re.sub(r"^## Call (CompiledFxGraph \w{6})\w* ##$", r"\1", name))


def finding_title(finding: Finding) -> str:
    """A finding's title with its share of the time, unless it says so itself."""
    title, share = fmt.visible(finding.title), fmt.share(finding.share)
    return (
        title
        if finding.share is None or fmt.known(finding.share) is None or share in title
        else f"{title} ({share})"
    )


def history_table(report: Report, limit: int) -> Table | None:
    """What was tried, in order; the latest `limit` steps."""
    skipped = max(0, len(report.history) - limit)
    columns = (
        Column("Step"), Column("Verdict"), Column("State"), Column("Speed-up (95% CI)", "number"),
        Column("Predicted", "number"), Column("Before", "number"), Column("After", "number"), Column("Size"),
        Column("Quality", "detail"), Column("Took", "number"), Column("Note", "detail"),
    )  # fmt: skip
    rows = [_step_row(number, step) for number, step in enumerate(report.history, 1) if number > skipped]
    left_out = f"and {fmt.plural(skipped, 'earlier step')}" if skipped else ""
    return table("history", "What was tried", columns, rows, left_out)


def _step_row(number: int, step: StepRecord) -> tuple[str, ...]:
    speedup = step.speedup
    return (
        f"{number}. {step_label(step)}", step.verdict, state(step),
        fmt.ratio_interval(speedup.low, speedup.median, speedup.high) if speedup else NOTHING,
        _or_nothing(step.predicted_speedup, fmt.ratio), _or_nothing(step.before_ms, fmt.duration),
        _or_nothing(step.after_ms, fmt.duration), fmt.size_change(step.size_ratio) or NOTHING,
        quality(step.quality) if step.quality else NOTHING, fmt.duration(step.took_s * 1e3), fmt.visible(note(step)),
    )  # fmt: skip


def state(step: StepRecord) -> str:
    """Whether the model carries the step now."""
    if not step.accepted:
        return "left out"
    return "undone" if step.undone else "kept"


def note(step: StepRecord) -> str:
    """What the other columns do not say: why a step failed, or what it did."""
    return step.reason if step.verdict == "failed" else step.note


def step_label(step: StepRecord) -> str:
    """A step's label with the options that were given."""
    options = ", ".join(f"{name}={value}" for name, value in step.options.items() if value != "auto")
    return fmt.shorten(fmt.visible(f"{step.label} ({options})" if options else step.label), 80)


def quality(found: Quality) -> str:
    """What a step did to the answers: ``evaluate 0.994 -> 0.993``."""
    metric = "cosine" if found.metric == "fidelity" else fmt.visible(found.metric)
    details = "".join(
        f", {fmt.visible(name).replace('_', ' ')} {fmt.score(value)}" for name, value in found.details.items()
    )
    if found.metric == "fidelity":
        return f"{metric} {fmt.score(found.after)} (at least {fmt.score(found.before - found.max_drop)} asked){details}"
    allowed = f"(at most {fmt.score(found.max_drop)} less allowed)"
    return f"{metric} {fmt.score(found.before)} -> {fmt.score(found.after)} {allowed}{details}"


def _left_out(shares: Sequence[float]) -> str:
    """``and 14 more rows, 0.8% of the time``."""
    if not shares:
        return ""
    return f"and {fmt.plural(len(shares), 'more row')}, {fmt.share(sum(shares))} of the time"


def _or_nothing(value: float | None, words: Callable[[float], str]) -> str:
    return NOTHING if value is None or fmt.known(value) is None else words(value)


def _sum_or_nothing(values: Sequence[int | None], words: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return words(sum(known)) if known else NOTHING
