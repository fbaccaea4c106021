"""From columns of a trace to rows of the report: which op, in which module, cost what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from jupyter_optim.profiling.gpu.device_work import device_time, launches
from jupyter_optim.profiling.gpu.gpu_time import gpu_time, with_call_of
from jupyter_optim.profiling.memory.peak import Peak, peak_of
from jupyter_optim.profiling.ops.costs import costs
from jupyter_optim.profiling.ops.int8_costs import with_packed
from jupyter_optim.profiling.ops.module_table import module_rows
from jupyter_optim.profiling.ops.op_table import OpTable, Spent
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.report import GpuTime, ModuleRow, Op


@dataclass(frozen=True, slots=True)
class Attribution:
    """Rows for one call of the model: sums over all traced calls, divided by their number."""

    ops: tuple[Op, ...]
    modules: tuple[ModuleRow, ...]
    calls: int
    call_ms: float | None
    unattributed_ms: float | None
    events: int
    peak: Peak | None = None
    """Of the memory, in the call that held most."""
    flops: int | None = None
    """Operations of one call; None if the trace has no shapes."""
    counted_share: float = 0.0
    """Fraction of the time in ops whose operations are known."""
    gpu: GpuTime | None = None

    def scaled(self, median_ms: float | None) -> Attribution:
        """The same shares of a call of `median_ms`: the profiler slows what it looks at.

        It does not slow an accelerator, whose times stay; what is left of the call, it was idle.
        """
        if not self.call_ms or not median_ms:
            return self
        if self.gpu is not None:
            gpu, longer = with_call_of(self.gpu, median_ms), median_ms / self.call_ms
            return dataclasses.replace(
                self, gpu=gpu, call_ms=median_ms, unattributed_ms=gpu.idle_ms,
                ops=tuple(replace(op, share=op.share / longer) for op in self.ops),
                modules=tuple(replace(row, share=row.share / longer) for row in self.modules),
            )  # fmt: skip
        factor = median_ms / self.call_ms
        return dataclasses.replace(
            self,
            ops=tuple(_slower(op, factor) for op in self.ops),
            modules=tuple(
                replace(row, self_ms=row.self_ms * factor, total_ms=row.total_ms * factor) for row in self.modules
            ),
            peak=None if self.peak is None else self.peak.scaled(factor),
            call_ms=median_ms, unattributed_ms=(self.unattributed_ms or 0.0) * factor,
        )  # fmt: skip


NOTHING = Attribution((), (), 0, None, None, 0)
"""What is known where nothing could be traced."""


def _slower(op: Op, factor: float) -> Op:
    host_ms = None if op.host_ms is None else op.host_ms * factor
    return replace(op, self_ms=op.self_ms * factor, total_ms=op.total_ms * factor, host_ms=host_ms)


def attribute(
    columns: Columns, modules: Sequence[nn.Module], root: nn.Module, line_names: Sequence[str | None] = ()
) -> Attribution:
    """Assign each op within the calls of a model to its module, and to the line that called it.

    Args:
        columns: the trace, with a range for each module call.
        modules: `modules[n]` is the module whose ranges are number n.
        root: the model; ops outside its calls are left out.
        line_names: `line_names[n]` is what line number n is called.
    """
    number = next((n for n, module in enumerate(modules) if module is root), -1)
    calls = np.flatnonzero((columns.kind == Kind.MODULE) & (columns.code == number))
    return attribute_calls(columns, calls, Labels.of(modules, root, line_names))


def attribute_calls(columns: Columns, calls: Ints, labels: Labels, *, span: bool = False) -> Attribution:
    """Assign each op within some events to its module and line.

    What a backward pass within them does belongs to the module and the line of the forward op that caused it.

    Args:
        columns: the trace.
        calls: rows of the events that are looked into, such as the calls of a model, or steps of a training; one
            that lies within another counts as a part of that.
        labels: what modules and lines are called.
        span: the events are one stretch of time together, from the first one's beginning to the last one's end.
    """
    columns = _told(columns, labels)
    inside = columns.within(calls) | _meanwhile(columns, calls)
    outermost = calls[(columns.parent[calls] < 0) | ~inside[np.maximum(columns.parent[calls], 0)]]
    if len(outermost) == 0:
        return dataclasses.replace(NOTHING, events=len(columns))
    # calls of a driver are within their op's own time
    own = np.where(columns.kind == Kind.RUNTIME, 0, columns.exclusive())
    device, work = device_time(columns), costs(columns)
    if work is not None:
        work = with_packed(work, columns, labels)
    on_device = bool(device[inside].any())
    # where no op launched a kernel, the driver's call did
    is_op = inside & ((columns.kind == Kind.OP) | (columns.kind == Kind.NOTE) | (device > 0))
    # a step is what the ops are in, and none of them
    is_op[outermost[columns.kind[outermost] == Kind.NOTE]] = False
    start, end = columns.start[outermost], columns.start[outermost] + columns.duration[outermost]
    if span:
        start, end = start.min(keepdims=True), end.max(keepdims=True)
    calls_in_all, causes = len(start), Causes.of(columns)
    steps = bool((columns.kind[outermost] == Kind.NOTE).all())
    gpu = gpu_time(causes, labels, inside, start, end, calls_in_all, steps=steps) if on_device else None
    # an accelerator may go on when the host is done
    call_ms = float((end - start).sum()) / calls_in_all / 1e6 if gpu is None else gpu.busy_ms + gpu.idle_ms
    spent = Spent(
        inside=inside, ns=device if on_device else own, calls=calls_in_all, basis=call_ms * calls_in_all * 1e6,
        on_device=on_device,
    )  # fmt: skip
    table = OpTable(causes, spent, is_op, labels, work, launches(columns))
    left_ms = call_ms - spent.ms(float(own[is_op].sum())) if gpu is None else gpu.idle_ms
    return Attribution(
        ops=table.ops(), modules=module_rows(causes, spent, labels, work), calls=spent.calls,
        call_ms=call_ms, unattributed_ms=max(0.0, left_ms), events=len(columns),
        peak=_peak(causes, outermost, labels), flops=table.flops(), counted_share=table.counted_share(), gpu=gpu,
    )  # fmt: skip


def _told(columns: Columns, labels: Labels) -> Columns:
    """The trace without the calls of modules that have no name in the model: what they do is their caller's."""
    nameless = np.array([label is None for label in labels.modules], np.bool_)
    if not nameless.any():
        return columns
    # of other kinds, a code is something else's number
    calls = np.flatnonzero((columns.kind == Kind.MODULE) & (columns.code >= 0))
    kind = columns.kind.copy()
    kind[calls[nameless[columns.code[calls]]]] = Kind.UNNAMED
    return dataclasses.replace(columns, kind=kind)


def _meanwhile(columns: Columns, calls: Ints) -> NDArray[np.bool_]:
    """Events of other threads that begin during the calls: the backward pass of a GPU has a thread of its own."""
    found = np.zeros(len(columns), np.bool_)
    if len(calls) == 0 or len(np.unique(columns.thread)) == 1:
        return found
    order = calls[np.argsort(columns.start[calls])]
    begins, ends = columns.start[order], np.maximum.accumulate(columns.start[order] + columns.duration[order])
    at = np.searchsorted(begins, columns.start, side="right") - 1
    during = (at >= 0) & (columns.start < ends[np.maximum(at, 0)])
    found[:] = during & (columns.kind != Kind.DEVICE)
    found &= ~np.isin(columns.thread, np.unique(columns.thread[calls]))
    return found


def _peak(causes: Causes, calls: Ints, labels: Labels) -> Peak | None:
    """The peak of the call that held most above what it started with."""
    columns = causes.columns
    risen = columns.memory.risen(columns.start[calls], columns.duration[calls])
    row = calls[int(risen.argmax())]
    start = int(columns.start[row])
    end = start + int(columns.duration[row])
    return peak_of(columns, start, end, paths=labels.paths(), line_names=labels.lines, causes=causes)
