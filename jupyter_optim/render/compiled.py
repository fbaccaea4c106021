"""What `torch.compile` made of the model, as tables."""

from __future__ import annotations

from jupyter_optim.render import format as fmt
from jupyter_optim.render.tables import NOTHING, Column, Table, table
from jupyter_optim.report import Compiled, FusedKernel, GraphBreak, Report

_NAMES = 4


def compiled_table(report: Report, limit: int) -> Table | None:
    """How many compiled graphs run, where they break, what runs uncompiled, and what was compiled again."""
    found = report.compiled
    if found is None:
        return None
    columns = (Column("What"), Column("Line", "code"), Column("Details"), Column("What helps", "detail"))
    rows = [_graphs(found)]
    rows += [("graph break", *_place(each)) for each in found.breaks]
    rows += [("not compiled", *_place(each)) for each in found.skipped]
    if found.recompiles:
        why = f": {fmt.visible(found.recompile_reasons[0])}" if found.recompile_reasons else ""
        times = "once" if found.recompiles == 1 else fmt.plural(found.recompiles, "time")
        words = fmt.shorten(f"{times}{why}", 120)
        rows.append(("compiled again", NOTHING, words, NOTHING))
    left = len(rows) - limit
    return table(
        "compiled", "What was compiled", columns, rows[:limit], f"and {left} more" if left > 0 else ""
    )


def _graphs(found: Compiled) -> tuple[str, ...]:
    words = fmt.unknown(found.reason) if found.graphs is None else f"{fmt.count(found.graphs)} in one call"
    if found.graphs and found.compiled_ms is not None:
        words += f", {fmt.duration(found.compiled_ms)} in them ({fmt.share(found.share)} of it)"
    return ("graphs", NOTHING, words, NOTHING)


def fused_table(report: Report, limit: int) -> Table | None:
    """The kernels that the compiler wrote, and what they were made from."""
    found = report.compiled.kernels if report.compiled is not None else ()
    columns = (
        Column("Kernel", "code"), Column("Calls", "number"), Column("Time", "number"), Column("Ops", "code"),
        Column("Weights of", "code"),
    )  # fmt: skip
    left = len(found) - limit
    return table(
        "fused-kernels", "Kernels that the compiler wrote", columns, [_kernel(each) for each in found[:limit]],
        f"and {left} more" if left > 0 else "",
    )  # fmt: skip


def _place(found: GraphBreak) -> tuple[str, str, str]:
    return (
        fmt.visible(found.line or NOTHING), fmt.visible(found.reason).replace("`", ""),
        fmt.visible(found.hint or NOTHING).replace("`", ""),
    )  # fmt: skip


def _kernel(found: FusedKernel) -> tuple[str, ...]:
    more = len(found.modules) - _NAMES
    paths = [fmt.visible(path) or "(the model itself)" for path in found.modules[:_NAMES]]
    return (
        fmt.visible(found.name), NOTHING if found.calls is None else fmt.count(found.calls),
        NOTHING if found.ms is None else fmt.duration(found.ms), fmt.visible(", ".join(found.ops)),
        ", ".join([*paths, *([f"{more} more"] if more > 0 else [])]),
    )  # fmt: skip
