"""From columns of a trace to rows of the report: which op, in which module, cost what."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from jupyter_optim.profiling.costs import Costs, costs
from jupyter_optim.profiling.memory_trace import Peak, peak_of
from jupyter_optim.profiling.trace import FOREIGN_MODULE, LINE_RANGE, Columns, Ints, Kind
from jupyter_optim.report import ModuleRow, Op

_N = TypeVar("_N", np.int64, np.float64)
_PACKED_LINEAR = "quantized::linear"


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

    def scaled(self, median_ms: float | None) -> Attribution:
        """The same shares of a call of `median_ms`: the profiler slows what it looks at."""
        if not self.call_ms or not median_ms:
            return self
        factor = median_ms / self.call_ms
        return dataclasses.replace(
            self,
            ops=tuple(replace(op, self_ms=op.self_ms * factor, total_ms=op.total_ms * factor) for op in self.ops),
            modules=tuple(
                replace(row, self_ms=row.self_ms * factor, total_ms=row.total_ms * factor) for row in self.modules
            ),
            peak=None if self.peak is None else self.peak.scaled(factor),
            call_ms=median_ms, unattributed_ms=(self.unattributed_ms or 0.0) * factor,
        )  # fmt: skip


NOTHING = Attribution((), (), 0, None, None, 0)
"""What is known where nothing could be traced."""


@dataclass(frozen=True, slots=True)
class ModuleLabel:
    """What a report says of a module, whatever the trace holds."""

    path: str
    class_name: str
    params: int = 0
    bytes: int | None = None
    out_features: int | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """What the numbers of a trace's ranges stand for; None for what is not to be told of."""

    modules: Sequence[ModuleLabel | None]
    lines: Sequence[str | None] = field(default=())

    @classmethod
    def of(cls, modules: Sequence[nn.Module], root: nn.Module, lines: Sequence[str | None] = ()) -> Labels:
        """Labels of live modules: by their paths in `root`, its first name for a shared one."""
        paths = {id(module): path for path, module in root.named_modules()}
        found = [_label(module, paths.get(id(module))) for module in modules]
        return cls(found, lines)

    def name_of(self, text: str) -> str:
        """What a range of ours, ``jo:module:3``, is called in a trace file that others read."""
        number = int(text.rpartition(":")[2])
        if text.startswith(LINE_RANGE):
            return f"line: {self.lines[number] if number < len(self.lines) else 'unknown'}"
        label = self.modules[number] if number < len(self.modules) else None
        return text if label is None else f"{FOREIGN_MODULE}{label.path or 'model'} ({label.class_name})"

    def path(self, number: int) -> str | None:
        """The path of module `number`, or None."""
        label = self.modules[number] if number >= 0 else None
        return None if label is None else label.path


def _label(module: nn.Module, path: str | None) -> ModuleLabel | None:
    if path is None:
        return None
    params = sum(p.numel() for p in module.parameters(recurse=False))
    width = getattr(module, "out_features", None)
    own = own_bytes(module)
    return ModuleLabel(path, type(module).__name__, params, own, width if isinstance(width, int) else None)


def by_name(columns: Columns) -> dict[str, tuple[int, int, int]]:
    """For each op name: calls, self time and total time, ns, over the whole trace.

    The same sums as `key_averages()`: an op directly within another of its name (``aten::mul`` of a scalar
    calls that of a tensor) is one call with it.
    """
    rows = np.flatnonzero((columns.kind == Kind.OP) | (columns.kind == Kind.NOTE))
    codes, size = columns.name[rows], len(columns.names)
    first = ~_repeated(columns)[rows]
    calls = np.bincount(codes, first, size)
    own = np.bincount(codes, columns.exclusive()[rows], size)
    total = np.bincount(codes, first * columns.duration[rows], size)
    return {columns.names[i]: (int(calls[i]), int(own[i]), int(total[i])) for i in np.flatnonzero(calls)}


def _repeated(columns: Columns) -> NDArray[np.bool_]:
    """Whether each event lies directly within one of its own name."""
    repeated: NDArray[np.bool_] = columns.name[np.maximum(columns.parent, 0)] == columns.name
    return repeated & (columns.parent >= 0)


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

    Args:
        columns: the trace.
        calls: rows of the events that are looked into, such as the calls of a model, or steps of a training; one
            that lies within another counts as a part of that.
        labels: what modules and lines are called.
        span: the events are one stretch of time together, from the first one's beginning to the last one's end.
    """
    inside = columns.within(calls) | _meanwhile(columns, calls)
    outermost = calls[(columns.parent[calls] < 0) | ~inside[np.maximum(columns.parent[calls], 0)]]
    if len(outermost) == 0:
        return Attribution((), (), 0, None, None, len(columns))
    own, device, work = columns.exclusive(), _device_time(columns), costs(columns)
    if work is not None:
        work = _with_packed(work, columns, labels)
    on_device = bool(device[inside].any())
    is_op = inside & ((columns.kind == Kind.OP) | (columns.kind == Kind.NOTE))
    ends = columns.start[outermost] + columns.duration[outermost]
    call_ns = float(
        ends.max() - columns.start[outermost].min() if span else columns.duration[outermost].sum()
    )
    count = 1 if span else len(outermost)
    spent = device if on_device else own
    table = _Table(
        columns, inside, is_op, spent, count, float(spent[is_op].sum()) if on_device else call_ns, on_device,
        labels, work,
    )  # fmt: skip
    return Attribution(
        ops=table.ops(), modules=table.modules(), calls=table.calls, call_ms=call_ns / table.calls / 1e6,
        unattributed_ms=max(0.0, call_ns - float(own[is_op].sum())) / table.calls / 1e6, events=len(columns),
        peak=_peak(columns, outermost, labels), flops=table.flops(), counted_share=table.counted_share(),
    )  # fmt: skip


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


def _device_time(columns: Columns) -> Ints:
    """For each op, the time of the accelerator work that it launched itself, ns."""
    spent = np.zeros(len(columns), np.int64)
    work = np.flatnonzero((columns.kind == Kind.DEVICE) & (columns.external >= 0))
    launchers = np.flatnonzero((columns.kind == Kind.OP) & (columns.external >= 0))
    if len(work) == 0 or len(launchers) == 0:
        return spent
    order = launchers[np.argsort(columns.external[launchers])]
    at = np.searchsorted(columns.external[order], columns.external[work])
    at = np.minimum(at, len(order) - 1)
    matched = columns.external[order[at]] == columns.external[work]
    np.add.at(spent, order[at[matched]], columns.duration[work[matched]])
    return spent


@dataclass(frozen=True, slots=True)
class _Table:
    """What the rows of ops and of modules are made from."""

    columns: Columns
    inside: NDArray[np.bool_]
    is_op: NDArray[np.bool_]
    spent: Ints
    """Nanoseconds of each event by itself: on the accelerator, if that is where the work is done."""
    calls: int
    basis: float
    """Nanoseconds that shares are shares of."""
    on_device: bool
    labels: Labels
    work: Costs | None

    def ops(self) -> tuple[Op, ...]:
        """A row for each op of each module and line, those that took longest first."""
        columns, labels = self.columns, self.labels
        rows = np.flatnonzero(self.is_op)
        module = _code_around(columns, Kind.MODULE, rows)
        line = _code_around(columns, Kind.LINE, rows) if labels.lines else np.full(len(rows), -1)
        key = (
            (columns.name[rows] * (len(labels.modules) + 1) + module + 1) * (len(labels.lines) + 1) + line + 1
        )
        keys, inverse = np.unique(key, return_inverse=True)
        first = ~_repeated(columns)[rows]
        count = np.bincount(inverse, first, len(keys))
        self_ns = np.bincount(inverse, self.spent[rows], len(keys))
        total_ns = np.bincount(inverse, first * columns.duration[rows], len(keys))
        flops, moved, dtype = self._work(rows, inverse, len(keys))
        found = []
        for i in np.argsort(-self_ns, kind="stable"):
            rest, at_line = divmod(int(keys[i]), len(labels.lines) + 1)
            name, at_module = divmod(rest, len(labels.modules) + 1)
            op = Op(
                name=columns.names[name], calls=float(count[i]) / self.calls, self_ms=self._ms(self_ns[i]),
                total_ms=self._ms(total_ns[i]), share=self._share(self_ns[i]), flops=flops[i], bytes=moved[i],
                bound=None, dtype=dtype[i],
                module=labels.path(at_module - 1), line=labels.lines[at_line - 1] if at_line else None,
                device="cuda" if self.on_device else "cpu",
            )  # fmt: skip
            found.append(op)
        return tuple(found)

    def flops(self) -> int | None:
        """Operations of one call, as far as they are known."""
        work = self.work
        if work is None:
            return None
        known = self.is_op & work.counted & ~np.isnan(work.flops)
        return round(float(work.flops[known].sum()) / self.calls)

    def counted_share(self) -> float:
        """Fraction of the ops' time that is not in ops of unknown work."""
        if self.work is None:
            return 0.0
        total = float(self.spent[self.is_op].sum())
        return 1 - float(self.spent[self.is_op & self.work.unknown].sum()) / total if total else 0.0

    def modules(self) -> tuple[ModuleRow, ...]:
        """A row for each module that was called, in the order of their numbers."""
        columns = self.columns
        rows = np.flatnonzero(self.inside & (columns.kind == Kind.MODULE))
        total = _with_inner(columns, self.spent) if self.on_device else columns.duration
        outer = columns.around(Kind.MODULE)[rows]
        flops = self._flops_within()
        child = np.bincount(outer[outer >= 0], total[rows][outer >= 0], len(columns))
        size = len(self.labels.modules)
        count = np.bincount(columns.code[rows], minlength=size)
        total_ns = np.bincount(columns.code[rows], total[rows], size)
        self_ns = total_ns - np.bincount(columns.code[rows], child[rows], size)
        work = None if flops is None else np.bincount(columns.code[rows], flops[rows], size)
        found = []
        for number, label in enumerate(self.labels.modules):
            if label is None or count[number] == 0:
                continue
            row = ModuleRow(
                path=label.path, class_name=label.class_name, calls=float(count[number]) / self.calls,
                total_ms=self._ms(total_ns[number]), self_ms=self._ms(self_ns[number]),
                share=self._share(self_ns[number]), params=label.params, bytes=label.bytes,
                flops=None if work is None else round(float(work[number]) / self.calls),
            )  # fmt: skip
            found.append(row)
        return tuple(found)

    def _work(
        self, rows: Ints, group: Ints, size: int
    ) -> tuple[list[int | None], list[int | None], list[str | None]]:
        """By group of `rows`: operations, bytes, and element type, of one call."""
        work = self.work
        if work is None:
            return [None] * size, [None] * size, [None] * size
        sums = []
        for values in (work.flops[rows], work.bytes[rows]):
            known = work.counted[rows] & ~np.isnan(values)
            total = np.bincount(group, np.where(known, values, 0.0), size)
            any_known = np.bincount(group, known, size) > 0
            sums.append(
                [round(float(t) / self.calls) if k else None for t, k in zip(total, any_known, strict=True)]
            )
        dtype: list[str | None] = [None] * size
        for row, each in zip(rows, group, strict=True):
            if work.dtype[row] >= 0:
                dtype[each] = work.dtypes[work.dtype[row]]
        return sums[0], sums[1], dtype

    def _flops_within(self) -> NDArray[np.float64] | None:
        """For each row, the operations of it and of all that lies within it."""
        if self.work is None:
            return None
        known = np.where(self.work.counted & ~np.isnan(self.work.flops), self.work.flops, 0.0)
        return _with_inner(self.columns, known)

    def _ms(self, ns: float) -> float:
        return float(ns) / self.calls / 1e6

    def _share(self, ns: float) -> float:
        return float(ns) / self.basis if self.basis else 0.0


def _code_around(columns: Columns, kind: Kind, rows: Ints) -> Ints:
    """For each of `rows`, the number of the innermost range of `kind` around it, or -1."""
    around = columns.innermost(kind)[rows]
    return np.where(around >= 0, columns.code[np.maximum(around, 0)], -1)


def _with_inner(columns: Columns, spent: NDArray[_N]) -> NDArray[_N]:
    """For each row, `spent` of it and of all that lies within it."""
    total = spent.copy()
    for depth in range(int(columns.depth.max(initial=0)), 0, -1):
        level = np.flatnonzero((columns.depth == depth) & (columns.parent >= 0))
        np.add.at(total, columns.parent[level], total[level])
    return total


def _with_packed(work: Costs, columns: Columns, labels: Labels) -> Costs:
    """`work` with that of int8 layers, whose packed weights have no shape in a trace: their modules know it."""
    if not any(name.startswith(_PACKED_LINEAR) for name in columns.names):
        return work
    packed = np.array([name.startswith(_PACKED_LINEAR) for name in columns.names], np.bool_)
    rows = np.flatnonzero(packed[columns.name] & (columns.signature >= 0))
    flops, dtype = work.flops.copy(), work.dtype.copy()
    counted, unknown = work.counted.copy(), work.unknown.copy()
    for row, number in zip(rows, _code_around(columns, Kind.MODULE, rows), strict=True):
        label = labels.modules[number] if number >= 0 else None
        shapes = columns.signatures[columns.signature[row]].shapes
        if (
            label is None
            or label.out_features is None
            or not shapes
            or not all(isinstance(n, int) for n in shapes[0])
        ):
            continue
        flops[row] = 2 * math.prod(shapes[0]) * label.out_features
        counted[row], unknown[row], dtype[row] = True, False, len(work.dtypes)
    return dataclasses.replace(
        work, flops=flops, counted=counted, unknown=unknown, dtype=dtype, dtypes=(*work.dtypes, "int8")
    )


def own_bytes(module: nn.Module) -> int:
    """Bytes of the module's own parameters and buffers, without its children's."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return sum(tensor.numel() * tensor.element_size() for tensor in own)


def _peak(columns: Columns, calls: Ints, labels: Labels) -> Peak | None:
    """The peak of the call that held most above what it started with."""
    risen = columns.memory.risen(columns.start[calls], columns.duration[calls])
    row = calls[int(risen.argmax())]
    start = int(columns.start[row])
    paths = [labels.path(number) for number in range(len(labels.modules))]
    return peak_of(columns, start, start + int(columns.duration[row]), paths=paths, line_names=labels.lines)
