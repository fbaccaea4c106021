"""From columns of a trace to rows of the report: which op, in which module, cost what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from jupyter_optim.profiling.memory_trace import Peak, peak_of
from jupyter_optim.profiling.trace import Columns, Ints, Kind
from jupyter_optim.report import ModuleRow, Op


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


NOTHING = Attribution((), (), 0, None, None, 0)
"""What is known where nothing could be traced."""


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
) -> Attribution:  # fmt: skip
    """Assign each op of the trace to its module, and to the line that called it.

    Args:
        columns: the trace, with a range for each module call.
        modules: `modules[n]` is the module whose ranges are number n.
        root: the model; ops outside its calls are left out.
        line_names: `line_names[n]` is what line number n is called.
    """
    paths = {id(module): path for path, module in root.named_modules()}
    numbers = {id(module): number for number, module in enumerate(modules)}
    size = len(columns)
    module_row = columns.innermost(Kind.MODULE)
    inside = _inside(columns, numbers.get(id(root), -1))
    roots = np.flatnonzero(
        inside & (columns.code == numbers.get(id(root), -1)) & (columns.kind == Kind.MODULE)
    )
    outermost = roots[~inside[np.maximum(columns.parent[roots], 0)] | (columns.parent[roots] < 0)]
    calls = len(outermost)
    if calls == 0:
        return Attribution((), (), 0, None, None, size)

    own = columns.exclusive()
    device = _device_time(columns)
    on_device = bool(device.any())
    spent = device if on_device else own
    is_op = inside & ((columns.kind == Kind.OP) | (columns.kind == Kind.NOTE))
    call_ns = float(columns.duration[outermost].sum())
    basis = float(spent[is_op].sum()) if on_device else call_ns

    ops = _op_rows(
        columns,
        is_op,
        module_row,
        spent,
        modules,
        paths,
        calls,
        basis,
        "cuda" if on_device else "cpu",
        line_names,
    )
    rows = _module_rows(
        columns, inside, module_row, modules, paths, calls, basis, device if on_device else None
    )
    in_ops = float(own[is_op].sum())
    return Attribution(
        ops=ops, modules=rows, calls=calls, call_ms=call_ns / calls / 1e6,
        unattributed_ms=max(0.0, call_ns - in_ops) / calls / 1e6, events=size,
        peak=_peak(columns, outermost, paths, modules, line_names),
    )  # fmt: skip


def _inside(columns: Columns, number: int) -> NDArray[np.bool_]:
    """For each row, whether it is a call of module `number` or within one."""
    inside: NDArray[np.bool_] = (columns.kind == Kind.MODULE) & (columns.code == number)
    for depth in range(1, int(columns.depth.max(initial=0)) + 1):
        level = np.flatnonzero(columns.depth == depth)
        inside[level] |= inside[columns.parent[level]] & (columns.parent[level] >= 0)
    return inside


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


def _op_rows(  # noqa: PLR0913, PLR0917 (columns of one table)
    columns: Columns, is_op: NDArray[np.bool_], module_row: Ints, spent: Ints,
    modules: Sequence[nn.Module], paths: Mapping[int, str], calls: int, basis: float, device: str,
    line_names: Sequence[str | None],
) -> tuple[Op, ...]:  # fmt: skip
    rows = np.flatnonzero(is_op)
    number = np.where(module_row[rows] >= 0, columns.code[np.maximum(module_row[rows], 0)], -1)
    line_row = columns.innermost(Kind.LINE)[rows]
    line = np.where((line_row >= 0) & bool(line_names), columns.code[np.maximum(line_row, 0)], -1)
    key = (columns.name[rows] * (len(modules) + 1) + number + 1) * (len(line_names) + 1) + line + 1
    keys, inverse = np.unique(key, return_inverse=True)
    first = ~_repeated(columns)[rows]
    count = np.bincount(inverse, first, len(keys))
    self_ns = np.bincount(inverse, spent[rows], len(keys))
    total_ns = np.bincount(inverse, first * columns.duration[rows], len(keys))
    result = []
    for i in np.argsort(-self_ns, kind="stable"):
        rest, at_line = divmod(int(keys[i]), len(line_names) + 1)
        name, module = divmod(rest, len(modules) + 1)
        result.append(
            Op(
                name=columns.names[name], calls=float(count[i]) / calls, self_ms=float(self_ns[i]) / calls / 1e6,
                total_ms=float(total_ns[i]) / calls / 1e6, share=float(self_ns[i]) / basis if basis else 0.0,
                flops=None, bytes=None, bound=None, line=line_names[at_line - 1] if at_line else None, device=device,
                module=paths.get(id(modules[module - 1])) if module else None,
            )
        )  # fmt: skip
    return tuple(result)


def _module_rows(
    columns: Columns, inside: NDArray[np.bool_], module_row: Ints, modules: Sequence[nn.Module],
    paths: Mapping[int, str], calls: int, basis: float, device: Ints | None,
) -> tuple[ModuleRow, ...]:  # fmt: skip
    rows = np.flatnonzero(inside & (columns.kind == Kind.MODULE))
    total = columns.duration if device is None else _within(columns, device)
    outer = np.where(columns.parent[rows] >= 0, module_row[np.maximum(columns.parent[rows], 0)], -1)
    child = np.bincount(outer[outer >= 0], total[rows][outer >= 0], len(columns))
    size = len(modules)
    count = np.bincount(columns.code[rows], minlength=size)
    total_ns = np.bincount(columns.code[rows], total[rows], size)
    self_ns = total_ns - np.bincount(columns.code[rows], child[rows], size)
    result = []
    for number, module in enumerate(modules):
        path = paths.get(id(module))
        if path is None or count[number] == 0:
            continue
        result.append(
            ModuleRow(
                path=path, class_name=type(module).__name__, calls=float(count[number]) / calls,
                total_ms=float(total_ns[number]) / calls / 1e6, self_ms=float(self_ns[number]) / calls / 1e6,
                share=float(self_ns[number]) / basis if basis else 0.0,
                params=sum(p.numel() for p in module.parameters(recurse=False)), flops=None, bytes=own_bytes(module),
            )
        )  # fmt: skip
    return tuple(result)


def _within(columns: Columns, spent: Ints) -> Ints:
    """For each row, `spent` of it and of all that lies within it."""
    total = spent.copy()
    for depth in range(int(columns.depth.max(initial=0)), 0, -1):
        level = np.flatnonzero((columns.depth == depth) & (columns.parent >= 0))
        np.add.at(total, columns.parent[level], total[level])
    return total


def own_bytes(module: nn.Module) -> int:
    """Bytes of the module's own parameters and buffers, without its children's."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return sum(tensor.numel() * tensor.element_size() for tensor in own)


def _peak(
    columns: Columns, calls: Ints, paths: Mapping[int, str], modules: Sequence[nn.Module],
    line_names: Sequence[str | None],
) -> Peak | None:  # fmt: skip
    """The peak of the call that held most above what it started with."""
    risen = columns.memory.risen(columns.start[calls], columns.duration[calls])
    row = calls[int(risen.argmax())]
    start = int(columns.start[row])
    end = start + int(columns.duration[row])
    return peak_of(columns, start, end, paths=paths, modules=modules, line_names=line_names)
