"""The accelerator's side of a report, as tables."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.render import format as fmt
from jupyter_optim.render.tables import NOTHING, Column, Table, table
from jupyter_optim.report import GpuTime, Idle, Report

_CODE = 80
_LEAST = 5e-4
"""Idle time of a smaller part of the call is left out."""


def gpu_table(report: Report) -> Table | None:
    """What the accelerator did in a call, and what kept it from doing more."""
    gpu = report.gpu
    if gpu is None:
        return None
    columns = (Column("The GPU"), Column("Time", "number"), Column("Share", "number"), Column("", "bar"),
               Column("Note"))  # fmt: skip
    busy = (fmt.duration(gpu.busy_ms), fmt.share(gpu.busy_share), fmt.bar(gpu.busy_share))
    rows: list[tuple[str, ...]] = [("worked", *busy, f"{fmt.count(gpu.launches)} kernels"), *_figures(gpu)]
    for each in (idle for idle in gpu.idle if idle.share >= _LEAST):
        ended = " ".join(
            part for part in (each.op and f"`{each.op}`", each.line and f"at {each.line}") if part
        )
        note = _gaps(each.gaps) + (f"; the longest ended with {ended}" if ended else "")
        rows.append(
            (
                f"idle: {_REASONS[each.reason]}",
                fmt.duration(each.ms),
                fmt.share(each.share),
                fmt.bar(each.share),
                note,
            )
        )
    if len(gpu.streams) > 1:
        rows += [
            (f"stream {each.stream}", fmt.duration(each.ms), fmt.share(each.share), fmt.bar(each.share),
             f"{fmt.count(each.kernels)} kernels")
            for each in gpu.streams
        ]  # fmt: skip
        rows.append(("two streams at once", fmt.duration(gpu.overlap_ms), "", "", ""))
    return table("gpu", "What the GPU did in a call", columns, rows, gpu.reason or "")


_REASONS = {
    "launch": "the host was still launching",
    "synchronisation": "the host had waited for a result",
    "data loading": "the host was fetching a batch",
    "between kernels": "between kernels",
    "before the first": "before the first kernel",
    "after the last": "after the last kernel",
    "unknown": "the trace does not tell why",
}


def _gaps(number: float) -> str:
    return f"{fmt.count(number)} {'gap' if number == 1 else 'gaps'}"


def reason_words(idle: Idle) -> str:
    """What kept the accelerator, in words."""
    return _REASONS[idle.reason]


def _figures(gpu: GpuTime) -> Iterator[tuple[str, ...]]:
    """How well it was used while it worked."""
    for name, share, note in (
        ("products on tensor cores", gpu.tensor_core_share, "of the time in products"),
        ("occupancy", gpu.occupancy, "threads there, of those that fit"),
        ("multiprocessors used", gpu.sm_share, "of those there are"),
    ):
        if share is not None:
            yield (name, "", fmt.share(share), fmt.bar(share), note)


def kernel_table(report: Report, limit: int) -> Table | None:
    """The kernels, each with the op that launched it."""
    gpu = report.gpu
    if gpu is None:
        return None
    columns = (
        Column("Kernel", "code"), Column("Calls", "number"), Column("Time", "number"), Column("Share", "number"),
        Column("", "bar"), Column("Op", "code"), Column("Module", "code"), Column("Line", "code"),
        Column("Tensor cores"), Column("Occupancy", "number"), Column("Blocks per SM", "number"),
        Column("Registers", "number"), Column("Streams", "number"),
    )  # fmt: skip
    rows = [
        (
            fmt.shorten(fmt.visible(each.name), _CODE), fmt.count(each.calls), fmt.duration(each.ms), fmt.share(each.share),
            fmt.bar(each.share), fmt.visible(each.op or NOTHING), fmt.visible(each.module or NOTHING),
            fmt.visible(each.line or NOTHING), NOTHING if each.tensor_cores is None else "yes" if each.tensor_cores else "no",
            NOTHING if each.occupancy is None else fmt.share(each.occupancy),
            NOTHING if each.blocks_per_sm is None else f"{each.blocks_per_sm:.2g}",
            NOTHING if each.registers is None else str(each.registers), ", ".join(map(str, each.streams)),
        )
        for each in gpu.kernels[:limit]
    ]  # fmt: skip
    left = len(gpu.kernels) - limit
    return table(
        "kernels", "Kernels", columns, rows, f"and {fmt.plural(left, 'more row')}" if left > 0 else ""
    )


def copy_table(report: Report) -> Table | None:
    """Copies between host and accelerator, and fills."""
    gpu = report.gpu
    if gpu is None:
        return None
    columns = (Column("Copies"), Column("Calls", "number"), Column("Time", "number"), Column("Size", "number"),
               Column("Rate", "number"), Column("Host memory"))  # fmt: skip
    rows = [
        (each.kind, fmt.count(each.calls), fmt.duration(each.ms), NOTHING if each.bytes is None else fmt.size(each.bytes),
         f"{fmt.size(each.bytes / each.ms * 1e3)}/s" if each.bytes and each.ms else NOTHING,
         "pageable" if each.pageable else NOTHING)
        for each in gpu.copies
    ]  # fmt: skip
    return table("copies", "Copies and fills", columns, rows)
