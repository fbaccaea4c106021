"""What a trace holds of compiled code: `torch.compile` marks its functions and graphs in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jupyter_optim.profiling.compiled.records import frame_and_attempt
from jupyter_optim.profiling.gpu.device_work import places
from jupyter_optim.profiling.trace.columns import Columns, Ints, Kind

_REGION = "Torch-Compiled Region: "
_GRAPH = re.compile(r"## Call CompiledFxGraph (\w+) ##$")
_BEGIN = "Pregraph bytecode"
"""What the trace holds right before each graph of a region; a region without a graph has none."""


@dataclass(frozen=True)
class Seen:
    """What the calls of the model in a trace hold of compiled code."""

    columns: Columns
    calls: Ints
    """Rows of the calls."""
    inside: NDArray[np.bool_]
    regions: Ints
    """Rows of compiled functions that ran in the calls."""
    graphs: Ints
    """Rows of inductor's graphs in them."""

    @classmethod
    def of(cls, columns: Columns, number: int, left_out: Collection[int] = ()) -> Seen | None:
        """None where the trace holds no complete call of module `number`; functions `left_out` do not count."""
        calls = np.flatnonzero((columns.kind == Kind.MODULE) & (columns.code == number))
        if len(calls) == 0:
            return None
        inside = columns.within(calls)
        calls = calls[(columns.parent[calls] < 0) | ~inside[np.maximum(columns.parent[calls], 0)]]
        is_region = np.array([_is_region(name, left_out) for name in columns.names], np.bool_)
        is_graph = np.array([_GRAPH.match(name) is not None for name in columns.names], np.bool_)
        return cls(
            columns, calls, inside, np.flatnonzero(inside & is_region[columns.name]),
            np.flatnonzero(inside & is_graph[columns.name]),
        )  # fmt: skip

    def name(self, row: int) -> str:
        """What the trace calls a row."""
        return self.columns.names[int(self.columns.name[row])]

    @cached_property
    def device(self) -> Ints:
        """By row: time of the accelerator's work that it launched, ns; by the driver's call where the trace has it."""
        work, spent = self.columns.work, np.zeros(len(self.columns), np.int64)
        host = self._host
        np.add.at(spent, host[host >= 0], self.columns.duration[work.row[host >= 0]])
        return spent

    @cached_property
    def _host(self) -> Ints:
        # the op around a launch is the whole region: a graph is no op
        work = self.columns.work
        return np.where(work.launch >= 0, work.launch, places(self.columns))

    @cached_property
    def in_graphs(self) -> NDArray[np.bool_]:
        """By row, whether it lies within a graph; without inductor's marks, within a region with no other in it."""
        return self.columns.within(self.graphs if len(self.graphs) else self._leaves)

    @cached_property
    def _leaves(self) -> Ints:
        """Regions, if none of them lies within another: else what Python does between graphs would count as theirs."""
        nested = any(self.region_around(int(row)) >= 0 for row in self.regions)
        return np.zeros(0, np.int64) if nested else self.regions

    @cached_property
    def share(self) -> float | None:
        """Part of the calls' time inside graphs; of the accelerator's time where it does the work."""
        if not len(self.regions):
            return 0.0
        if not len(self.graphs) and not len(self._leaves):
            return None
        if self.device[self.inside].any():
            return float(self.device[self.in_graphs & self.inside].sum() / self.device[self.inside].sum())
        columns = self.columns
        rows = np.flatnonzero(self.in_graphs & self.inside)
        outermost = rows[~self.in_graphs[np.maximum(columns.parent[rows], 0)]]
        return float(columns.duration[outermost].sum() / columns.duration[self.calls].sum())

    @property
    def compiled_ms(self) -> float | None:
        """The same as time in one call."""
        if self.share is None:
            return None
        spent = self.device[self.inside].sum() or self.columns.duration[self.calls].sum()
        return self.share * float(spent) / len(self.calls) / 1e6

    @cached_property
    def _region_rows(self) -> frozenset[int]:
        return frozenset(self.regions.tolist())

    def count(self) -> float:
        """Graphs in one call."""
        if _BEGIN not in self.columns.names:
            return len(self.regions) / len(self.calls)
        marks = np.flatnonzero(self.inside & (self.columns.name == self.columns.names.index(_BEGIN)))
        return sum(self.region_around(int(row)) >= 0 for row in marks) / len(self.calls)

    def rows_by_graph(self) -> dict[str, list[int]]:
        """By the key of a graph, its rows."""
        found: dict[str, list[int]] = {}
        for row in self.graphs:
            match = _GRAPH.match(self.name(row))
            if match is not None:
                found.setdefault(match[1], []).append(int(row))
        return found

    def kernel_times(self, rows: Sequence[int]) -> dict[str, int]:
        """By name, the time of an accelerator's kernels that were launched within some rows, ns."""
        columns, inside = self.columns, self.columns.within(np.array(rows, np.int64))
        host, found = self._host, Counter[str]()
        for row in columns.work.row[(host >= 0) & inside[np.maximum(host, 0)]]:
            found[self.name(int(row))] += int(columns.duration[row])
        return found

    def region_around(self, row: int) -> int:
        """Row of the innermost region around a row, or -1; one that is left out is none."""
        at = int(self.columns.parent[row])
        while at >= 0 and at not in self._region_rows:
            at = int(self.columns.parent[at])
        return at


def holds_regions(columns: Columns) -> bool:
    """Whether any compiled code ran in a trace."""
    return any(name.startswith(_REGION) for name in columns.names)


def _is_region(name: str, left_out: Collection[int]) -> bool:
    key = frame_and_attempt(name) if name.startswith(_REGION) else None
    return key is not None and key[0] not in left_out
