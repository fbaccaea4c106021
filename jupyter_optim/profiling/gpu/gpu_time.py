"""From the accelerator's side of a trace to what a report says of it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from jupyter_optim.profiling.gpu.device_work import places
from jupyter_optim.profiling.gpu.idle import Gaps, Windows, busy, gaps
from jupyter_optim.profiling.gpu.tensor_cores import uses_tensor_cores
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.report import Copy, GpuTime, Idle, IdleReason, Kernel, Stream

_KERNELS = 60
_LONGEST_NAME = 160
_DIRECTIONS = {
    "HtoD": "host to device", "DtoH": "device to host", "DtoD": "device to device",
    "PtoP": "device to other device", "HtoH": "host to host",
}  # fmt: skip


def gpu_time(
    causes: Causes,
    labels: Labels,
    inside: NDArray[np.bool_],
    begin: Ints,
    end: Ints,
    calls: int,
    *,
    steps: bool,
) -> GpuTime | None:
    """What the accelerator did in some calls; None if it did nothing.

    Of several accelerators the one that worked most is described.

    Args:
        causes: the trace, and what its rows belong to.
        labels: what modules and lines are called.
        inside: by row, whether it belongs to these calls.
        begin: when each of them began, ns, in order.
        end: when it ended on the host; work that it launched may end later.
        calls: how many there were; the figures are of one.
        steps: they are steps of a loop, not calls that were made for the trace, each waited for.
    """
    columns = causes.columns
    work, host = columns.work, places(columns)
    mine = np.flatnonzero((host >= 0) & inside[np.maximum(host, 0)])
    if len(mine) == 0:
        return None
    spent = columns.duration[work.row]
    devices = np.unique(work.device[mine])
    device = int(max(devices, key=lambda each: int(spent[mine[work.device[mine] == each]].sum())))
    chosen = mine[work.device[mine] == device]
    rows = work.row[chosen]
    windows = Windows.of(begin, _ends_of_work(columns, begin, end, chosen, host), steps=steps)
    view = _View(columns, chosen, host, calls, _Owners.of(causes, labels))
    starts, ends, _ = busy(columns.start[rows], columns.start[rows] + columns.duration[rows])
    busy_ns, length = int((ends - starts).sum()), windows.length
    streams = view.streams(device, length)
    overlap = sum(each.ms for each in streams) - busy_ns / calls / 1e6
    cores = {name: uses_tensor_cores(name) for name in set(view.names)}
    multiplies = np.array([cores[name] is not None for name in view.names], np.bool_)
    on_cores = np.array([bool(cores[name]) for name in view.names], np.bool_)
    multiplying = int(view.spent[multiplies].sum())
    others = [str(each) for each in devices if each != device]
    return GpuTime(
        busy_ms=busy_ns / calls / 1e6, idle_ms=(length - busy_ns) / calls / 1e6, busy_share=busy_ns / length,
        overlap_ms=max(0.0, overlap), launches=float(view.is_kernel.sum()) / calls,
        tensor_core_share=float(view.spent[on_cores].sum()) / multiplying if multiplying else None,
        occupancy=view.mean(work.occupancy[chosen]),
        sm_share=view.mean(np.minimum(work.blocks_per_sm[chosen], 1.0)),
        kernels=view.kernels(), copies=view.copies(), streams=streams,
        idle=view.idle(gaps(columns, chosen, windows), length),
        method="kernels, copies and fills in the trace, each with the op that launched it",
        reason=f"of device {device}; device {', '.join(others)} worked less" if others else None,
    )  # fmt: skip


def _ends_of_work(columns: Columns, begin: Ints, end: Ints, chosen: Ints, host: Ints) -> Ints:
    """For each call, when it or the last of what it launched had ended."""
    found = end.copy()
    rows = columns.work.row[chosen]
    call = np.searchsorted(begin, columns.start[host[chosen]], side="right") - 1
    np.maximum.at(found, call[call >= 0], (columns.start[rows] + columns.duration[rows])[call >= 0])
    return found


def with_call_of(found: GpuTime, call_ms: float | None) -> GpuTime:
    """The same work in a call of `call_ms`: the profiler slows the host, and so makes the accelerator wait.

    Kernels take the time that they take. What is left of the call is idle, for the same reasons in the same parts.
    """
    if not call_ms:
        return found
    idle_ms = max(0.0, call_ms - found.busy_ms)
    factor = idle_ms / found.idle_ms if found.idle_ms else 0.0
    length = max(call_ms, found.busy_ms)
    return replace(
        found, idle_ms=idle_ms, busy_share=found.busy_ms / length,
        idle=tuple(replace(each, ms=each.ms * factor, share=each.ms * factor / length) for each in found.idle),
        streams=tuple(replace(each, share=each.ms / length) for each in found.streams),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Owners:
    """The module and the line that a row of the host belongs to; a row of -1 belongs to none."""

    labels: Labels
    modules: Ints
    lines: Ints

    @classmethod
    def of(cls, causes: Causes, labels: Labels) -> _Owners:
        code = causes.columns.code
        around = [causes.innermost(kind) for kind in (Kind.MODULE, Kind.LINE)]
        return cls(labels, *(np.where(rows >= 0, code[np.maximum(rows, 0)], -1) for rows in around))

    def module_of(self, row: int) -> str | None:
        return self.labels.path(int(self.modules[row])) if row >= 0 else None

    def line_of(self, row: int) -> str | None:
        return self.labels.line(int(self.lines[row])) if row >= 0 else None


@dataclass(frozen=True)
class _View:
    """The work of some calls on one device."""

    columns: Columns
    chosen: Ints
    """Positions in `Columns.work`."""
    host: Ints
    """By position in `Columns.work`: the row on the host that it belongs to."""
    calls: int
    owners: _Owners

    @cached_property
    def names(self) -> list[str]:
        columns = self.columns
        return [columns.names[code] for code in columns.name[columns.work.row[self.chosen]]]

    @cached_property
    def spent(self) -> Ints:
        return self.columns.duration[self.columns.work.row[self.chosen]]

    @cached_property
    def is_kernel(self) -> NDArray[np.bool_]:
        return np.array([not name.startswith(("Memcpy", "Memset")) for name in self.names], np.bool_)

    def mean(self, values: NDArray[np.float64]) -> float | None:
        """Mean over the kernels whose value is known, by their time; None if none is."""
        return _weighted(values[self.is_kernel], self.spent[self.is_kernel].astype(np.float64))

    def kernels(self) -> tuple[Kernel, ...]:
        """A row for each kernel of each op, module and line, those that took longest first."""
        columns, work, names = self.columns, self.columns.work, self.names
        groups: dict[tuple[str, str | None, str | None, str | None], list[int]] = defaultdict(list)
        for i in np.flatnonzero(self.is_kernel):
            row = int(self.host[self.chosen[i]])
            op = columns.names[columns.name[row]] if columns.kind[row] == Kind.OP else None
            groups[names[i], op, self.owners.module_of(row), self.owners.line_of(row)].append(int(i))
        spent, total = self.spent, float(self.spent.sum())
        ranked = sorted(groups.items(), key=lambda each: -int(spent[each[1]].sum()))[:_KERNELS]
        found = []
        for (name, op, module, line), members in ranked:
            at = self.chosen[members]
            time = spent[members].astype(np.float64)
            registers = int(work.registers[at].max())
            kernel = Kernel(
                name=_short(name), calls=len(members) / self.calls, ms=float(time.sum()) / self.calls / 1e6,
                share=float(time.sum()) / total if total else 0.0, op=op, module=module, line=line,
                tensor_cores=uses_tensor_cores(name), occupancy=_weighted(work.occupancy[at], time),
                blocks_per_sm=_weighted(work.blocks_per_sm[at], time),
                registers=registers if registers >= 0 else None,
                streams=tuple(int(each) for each in np.unique(work.stream[at])),
            )  # fmt: skip
            found.append(kernel)
        return tuple(found)

    def copies(self) -> tuple[Copy, ...]:
        """A row for each direction of copies, and for fills."""
        groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for i in np.flatnonzero(~self.is_kernel):
            groups[_direction(self.names[i]), "Pageable" in self.names[i]].append(int(i))
        found = []
        for (kind, pageable), members in groups.items():
            moved = self.columns.work.bytes[self.chosen[members]]
            copy = Copy(
                kind=kind, calls=len(members) / self.calls,
                ms=float(self.spent[members].sum()) / self.calls / 1e6,
                bytes=round(int(moved.sum()) / self.calls) if (moved >= 0).all() else None, pageable=pageable,
            )  # fmt: skip
            found.append(copy)
        return tuple(sorted(found, key=lambda each: -each.ms))

    def streams(self, device: int, length: int) -> tuple[Stream, ...]:
        """A row for each stream, the busiest first."""
        columns, work = self.columns, self.columns.work
        found = []
        for stream in np.unique(work.stream[self.chosen]):
            members = np.flatnonzero(work.stream[self.chosen] == stream)
            rows = work.row[self.chosen[members]]
            starts, ends, _ = busy(columns.start[rows], columns.start[rows] + columns.duration[rows])
            worked = int((ends - starts).sum())
            each = Stream(
                device=device, stream=int(stream), ms=worked / self.calls / 1e6,
                kernels=float(self.is_kernel[members].sum()) / self.calls, share=worked / length,
            )  # fmt: skip
            found.append(each)
        return tuple(sorted(found, key=lambda each: -each.ms))

    def idle(self, found: Gaps, length: int) -> tuple[Idle, ...]:
        """Idle time by its reason, the most first, with the op and line that ended the longest gap of each."""
        groups: dict[IdleReason, list[int]] = defaultdict(list)
        for i, reason in enumerate(found.reason):
            groups[reason].append(i)
        rows = []
        for reason, members in groups.items():
            total = int(found.length[members].sum())
            longest = members[int(found.length[members].argmax())]
            ended = int(found.next[longest])
            row = int(self.host[ended]) if ended >= 0 else -1
            is_op = row >= 0 and self.columns.kind[row] == Kind.OP
            idle = Idle(
                reason=reason, ms=total / self.calls / 1e6, share=total / length, gaps=len(members) / self.calls,
                op=self.columns.names[self.columns.name[row]] if is_op else None, line=self.owners.line_of(row),
            )  # fmt: skip
            rows.append(idle)
        return tuple(sorted(rows, key=lambda each: -each.ms))


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    known = ~np.isnan(values)
    total = float(weights[known].sum())
    return float((values[known] * weights[known]).sum()) / total if total else None


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _direction(name: str) -> str:
    """``Memcpy HtoD (Pageable -> Device)`` in words."""
    if name.startswith("Memset"):
        return "fill"
    found = re.search(r"\b([HDP]to[HDP])\b", name)
    return _DIRECTIONS.get(found[1], name) if found else name
