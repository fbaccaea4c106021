"""The sentence and the tables of a comparison, whoever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from jupyter_optim.analysis.compare.comparison import (
    Change,
    Comparison,
    LineChange,
    ModuleChange,
    OpChange,
    SizeChange,
)
from jupyter_optim.render import format as fmt
from jupyter_optim.render.tables import NOTHING, Column, Table, table
from jupyter_optim.report import Interval

_ROOT = "(the model itself)"
_SIZES = {"weights": "weights", "peak": "peak memory", "activations": "activations"}
_C = TypeVar("_C", bound=Change)

_MANY = 10.0
_FACTOR = 100.0
"""A factor above this says no more than that there was next to nothing on one side."""


def comparison_headline(comparison: Comparison) -> str:
    """One sentence in plain words; names of code stand between backticks."""
    found = comparison.latency
    model = fmt.shorten(fmt.visible(comparison.model).replace("`", "'"), 60)
    name = f"`{model}`"
    if found.verdict == "unknown" or found.speedup is None:
        return f"{name} cannot be compared: {fmt.visible(found.reason)}."
    known = found.before_ms is not None and found.after_ms is not None
    times = f": {fmt.duration(found.before_ms)} -> {fmt.duration(found.after_ms)} a call" if known else ""
    weights = next((size for size in comparison.sizes if size.name == "weights"), None)
    changed = weights is not None and weights.status in ("smaller", "larger")
    size = f"; weights {size_words(weights.ratio)}" if weights is not None and changed else ""
    unlike = "" if comparison.like_for_like else "; but not like for like"
    return f"{name} is {speed_words(found.speedup, found.verdict, found.sure)}{times}{size}{unlike}."


def speed_words(speedup: Interval, verdict: str, sure: bool = True) -> str:
    """``4.2x faster (95% CI 4.0 to 4.4)``; `sure` is whether the interval was measured."""
    low, median, high = speedup.low, speedup.median, speedup.high
    kind = "95% CI" if sure else "assumed:"
    if verdict == "slower":
        low, median, high = 1 / high, 1 / median, 1 / low
    interval = f"{kind} {fmt.ratio(low)[:-1]} to {fmt.ratio(high)[:-1]}"
    if verdict == "noise":
        return f"as fast as before, within noise (speed-up {fmt.ratio(median)}, {interval})"
    return f"{fmt.ratio(median)} {verdict} ({interval})"


def call_table(comparison: Comparison) -> Table | None:
    """The call as a whole: its time, and the bytes that it holds."""
    found = comparison.latency
    columns = (
        Column("What"),
        Column("Before", "number"),
        Column("After", "number"),
        Column("Change"),
        Column("How"),
    )
    change = found.verdict if found.verdict in ("noise", "unknown") or found.speedup is None else (
        speed_words(found.speedup, found.verdict).partition(" (")[0])  # fmt: skip
    time = (
        "time of a call",
        _interval(found.before),
        _interval(found.after),
        change,
        fmt.visible(found.reason),
    )
    return table("call", "The call as a whole", columns, [time, *map(_size_row, comparison.sizes)])


def _interval(found: Interval | None) -> str:
    return NOTHING if found is None else fmt.duration_interval(found.median, found.low, found.high)


def _size_row(change: SizeChange) -> tuple[str, ...]:
    sizes = (
        fmt.size(value) if value is not None else NOTHING
        for value in (change.before_bytes, change.after_bytes)
    )
    words = "same size" if change.status == "same" else size_words(change.ratio) or NOTHING
    return (_SIZES[change.name], *sizes, words, fmt.visible(change.reason or ""))


def size_words(ratio: float | None) -> str:
    """A ratio of sizes: ``62% smaller``; per cent say nothing where it is many times as much."""
    known = fmt.known(ratio)
    return f"{fmt.ratio(known)} as large" if known is not None and known >= _MANY else fmt.size_change(known)


def group_changes(comparison: Comparison, limit: int) -> Table | None:
    """What the call consists of, before and after."""
    rows = [*comparison.groups, *([comparison.rest] if _times(comparison.rest) else [])]
    columns = (Column("Group"), *_COLUMNS)
    left = len(rows) - limit
    return table(
        "group-changes", "Where the time went", columns, [(fmt.visible(row.name), *cells(row)) for row in rows[:limit]],
        f"and {fmt.plural(left, 'more group')}" if left > 0 else "",
    )  # fmt: skip


def module_changes(comparison: Comparison, limit: int) -> Table | None:
    """The modules whose own time changed beyond noise, or that are of another class now."""
    rows = [row for row in comparison.modules if row.status != "noise" or _became(row)]
    columns = (Column("Module", "code"), *_COLUMNS, Column("Class", "code"), Column("Was", "code"))
    words = [(_path(row.name), *cells(row), _class(row), _moved(row)) for row in rows[:limit]]
    return table(
        "module-changes", "Modules, own time", columns, words, _left(comparison.modules, rows, limit)
    )


def op_changes(comparison: Comparison, limit: int) -> Table | None:
    """The ops that changed beyond noise, summed over all modules."""
    rows = _changed(comparison.ops)
    columns = (Column("Op", "code"), *_COLUMNS, Column("Calls", "number"))
    words = [(fmt.visible(row.name), *cells(row), _calls(row)) for row in rows[:limit]]
    return table("op-changes", "Ops", columns, words, _left(comparison.ops, rows, limit))


def op_row_changes(comparison: Comparison, limit: int) -> Table | None:
    """The ops of each module that changed beyond noise."""
    rows = _changed(comparison.op_rows)
    columns = (Column("Op", "code"), Column("Module", "code"), *_COLUMNS, Column("Calls", "number"))
    words = [
        (
            fmt.visible(row.name),
            NOTHING if row.module is None else _path(row.module),
            *cells(row),
            _calls(row),
        )
        for row in rows[:limit]
    ]
    return table(
        "op-row-changes", "Ops of each module", columns, words, _left(comparison.op_rows, rows, limit)
    )


def line_changes(comparison: Comparison, limit: int) -> Table | None:
    """The lines of code that changed beyond noise."""
    rows = _changed(comparison.lines)
    columns = (Column("Line", "code"), *_COLUMNS, Column("Code", "code"), Column("Was", "code"))
    words = [
        (fmt.visible(row.name), *cells(row), fmt.shorten(fmt.visible(row.text.strip()), 120), _was(row))
        for row in rows[:limit]
    ]  # fmt: skip
    return table(
        "line-changes", "Lines, with what they call", columns, words, _left(comparison.lines, rows, limit)
    )


_COLUMNS = (Column("Before", "number"), Column("After", "number"), Column("Change", "number"),
            Column("Of the change", "number"), Column("Verdict"))  # fmt: skip


def cells(row: Change) -> tuple[str, str, str, str, str]:
    """A change in words: before, after, difference, its share of the whole change, and the verdict."""
    before, after = (NOTHING if ms is None else fmt.duration(ms) for ms in (row.before_ms, row.after_ms))
    share = NOTHING if row.share is None or row.status == "noise" else fmt.share(row.share)
    return before, after, difference(row.delta_ms), share, verdict(row)


def difference(delta_ms: float) -> str:
    """``-62.0 ms``, ``+1.20 ms``."""
    return f"{'-' if delta_ms < 0 else '+' if delta_ms > 0 else ''}{fmt.duration(abs(delta_ms))}"


def verdict(row: Change) -> str:
    """``4.0x faster``, ``1.3x slower``, ``new``, ``gone`` or ``noise``."""
    times = row.before_ms or 0.0, row.after_ms or 0.0
    if row.status not in ("faster", "slower") or min(times) <= 0 or max(times) > _FACTOR * min(times):
        return row.status
    return f"{fmt.ratio(max(times) / min(times))} {row.status}"


def still(comparison: Comparison) -> str:
    """How much is noise, and how that was told: ``Within noise: 105 of 113 modules, 31 of 33 ops. ...``."""
    kinds: tuple[tuple[str, Sequence[Change]], ...] = (
        ("modules", comparison.modules), ("ops", comparison.ops), ("lines", comparison.lines),
    )  # fmt: skip
    words = [
        f"{fmt.count(sum(row.status == 'noise' for row in rows))} of {fmt.count(len(rows))} {kind}"
        for kind, rows in kinds
        if rows
    ]
    return f"Within noise: {', '.join(words)}. {comparison.noise}" if words else ""


def steps_words(comparison: Comparison) -> str:
    """What was done between the two reports, as far as one session's history tells."""
    parts = [
        f"{name}: {', '.join(map(fmt.visible, steps))}"
        for name, steps in (("Added", comparison.steps_added), ("Taken out", comparison.steps_removed))
        if steps
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _changed(rows: Sequence[_C]) -> list[_C]:
    return [row for row in rows if row.status != "noise"]


def _left(rows: Sequence[Change], shown: Sequence[Change], limit: int) -> str:
    left, noise = len(shown) - limit, len(rows) - len(shown)
    parts = [
        f"{fmt.plural(left, 'more row')}" if left > 0 else "",
        f"{fmt.count(noise)} within noise" if noise else "",
    ]
    words = " and ".join(part for part in parts if part)
    return f"and {words}" if words else ""


def _times(row: Change) -> bool:
    return row.before_ms is not None or row.after_ms is not None


def _path(path: str) -> str:
    return fmt.visible(path) or _ROOT


def _became(row: ModuleChange) -> bool:
    return (
        row.class_before is not None and row.class_after is not None and row.class_before != row.class_after
    )


def _class(row: ModuleChange) -> str:
    words = (
        f"{row.class_before} -> {row.class_after}"
        if _became(row)
        else row.class_after or row.class_before or NOTHING
    )
    return fmt.shorten(fmt.visible(words), 80)


def _moved(row: ModuleChange) -> str:
    return NOTHING if row.path_before in (None, row.name) else _path(row.path_before or "")


def _calls(row: OpChange) -> str:
    before, after = row.calls_before, row.calls_after
    if before == after or before is None or after is None:
        known = after if after is not None else before
        return NOTHING if known is None else fmt.count(known)
    return f"{fmt.count(before)} -> {fmt.count(after)}"


def _was(row: LineChange) -> str:
    if row.place_before is None or (row.place_before == row.name and row.text_before == row.text):
        return NOTHING
    edited = row.text_before is not None and row.text_before.strip() != row.text.strip()
    words = f"{row.place_before} {row.text_before}" if edited else row.place_before
    return fmt.shorten(fmt.visible(words.strip()), 120)
