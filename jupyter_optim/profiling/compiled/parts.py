"""What `torch.compile` made of a model: its graphs in a trace, where they break, and the kernels in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
from torch import nn

from jupyter_optim import compiled_call
from jupyter_optim.privacy import Cleaner
from jupyter_optim.profiling.compiled.kernels import (
    GraphSource,
    Owners,
    code_of,
    compiled_modules,
    ops_of,
    sources,
)
from jupyter_optim.profiling.compiled.records import (
    Break,
    Compilation,
    Place,
    Records,
    ends,
    explanation,
    frame_and_attempt,
    records,
)
from jupyter_optim.profiling.compiled.regions import Seen, holds_regions
from jupyter_optim.profiling.lines.user_code import UserCode
from jupyter_optim.profiling.trace.columns import Columns
from jupyter_optim.report import Compiled, FusedKernel, GraphBreak

_MOST_KERNELS = 100
_MOST_REASONS = 5
_OURS = str(Path(__file__).parents[2]) + os.sep


def compiled_parts(
    columns: Columns | None, modules: Sequence[nn.Module], root: nn.Module, code: UserCode,
    *, missing: str | None = None,
) -> Compiled | None:  # fmt: skip
    """The compiled parts of a model, in one of its traced calls; None if nothing of it is compiled.

    Args:
        columns: the trace; None if there is none.
        modules: `modules[n]` is the module whose ranges are number n.
        root: the model.
        code: names the lines.
        missing: why there is no trace.
    """
    given = bool(compiled_modules(root))
    if not given and (columns is None or not holds_regions(columns)):
        return None
    number = next((n for n, module in enumerate(modules) if module is root), -1)
    log = records()
    seen = None if columns is None else Seen.of(columns, number, own_frames(log))
    if not given and (seen is None or not len(seen.regions)):
        return None
    view = _View(root, code, log, seen)
    reasons = [log.reason, *view.reasons()]
    if seen is None:
        reasons.append(missing or "no call was traced")
    return Compiled(
        graphs=None if seen is None else seen.count(), breaks=view.breaks(),
        compiled_ms=None if seen is None else seen.compiled_ms, share=None if seen is None else seen.share,
        recompiles=view.recompiles(), recompile_reasons=view.recompile_reasons(), skipped=view.skipped(),
        kernels=view.kernels(),
        method="compiled regions in the trace, and the log that PyTorch's compiler keeps in this process",
        reason="; ".join(each for each in reasons if each) or None,
    )  # fmt: skip


def scaled(found: Compiled | None, factor: float) -> Compiled | None:
    """The same shares of a call that takes `factor` times as long; an accelerator's kernels take the time they take."""
    if found is None or found.compiled_ms is None:
        return found
    return msgspec.structs.replace(found, compiled_ms=found.compiled_ms * factor)


def own_frames(log: Records) -> set[int]:
    """Functions of this package: our hooks run within compiled code, and PyTorch compiles them with it."""
    found = [each for each in log.compilations if each.code and each.code[0].startswith(_OURS)]
    return {each.frame for each in found if each.code and each.code[0] != compiled_call.__file__}


@dataclass(frozen=True)
class _View:
    """A model, the compiler's log, and its calls in a trace."""

    root: nn.Module
    code: UserCode
    log: Records
    seen: Seen | None

    @cached_property
    def _by_id(self) -> dict[tuple[int, int], Compilation]:
        return {(each.frame, each.attempt): each for each in self.log.compilations}

    @cached_property
    def _ran(self) -> dict[int, tuple[int, int]]:
        """By row of a region: the number of the function and of its compilation."""
        if self.seen is None:
            return {}
        found = ((int(row), frame_and_attempt(self.seen.name(row))) for row in self.seen.regions)
        return {row: key for row, key in found if key is not None}

    @cached_property
    def _of_model(self) -> list[Compilation]:
        """Log entries of the forwards of the model's modules."""
        forwards = {code_of(module) for module in self.root.modules()} - {None}
        found = [each for each in self.log.compilations if each.code in forwards]
        frames = {each.frame for each in found}
        return found + [each for each in self.log.compilations if each.code is None and each.frame in frames]

    @cached_property
    def _frames(self) -> set[int]:
        """Numbers of the functions that this is about."""
        return {frame for frame, _ in self._ran.values()} | {each.frame for each in self._of_model}

    def breaks(self) -> tuple[GraphBreak, ...]:
        """Where the graphs of a call end early; each place once, in the order in which they were met."""
        keys = dict.fromkeys(self._ran.values())
        ran = [self._by_id[key] for key in keys if key in self._by_id]
        if self.seen is None:
            ran = [each for each in self._of_model if each.failure is None]
        return _once(self._told(each) for entry in ran for each in self._ended(entry))

    def _ended(self, entry: Compilation) -> list[Break]:
        return [each for each in ends(entry, self.log.breaks) if self._followed(each)]

    def _followed(self, found: Break) -> bool:
        """Whether what goes on behind a break ran in these calls; True where the trace cannot tell."""
        first = found.stack[0]
        name = f"torch_dynamo_resume_in_{first.function}_at_{first.lineno}"
        rest = {(each.frame, each.attempt) for each in self.log.compilations
                if each.function == name and each.code and each.code[0] == first.filename and each.ops}  # fmt: skip
        return (
            self.seen is None
            or not rest
            or bool({key[0] for key in rest} & {f for f, _ in self._ran.values()})
        )

    def _told(self, found: Break) -> GraphBreak:
        cause, hint = explanation(found.text)
        return GraphBreak(reason=cause, line=self._line(found.stack), hint=hint)

    def _line(self, stack: Sequence[Place]) -> str | None:
        """The innermost line of the user's own code, or else the innermost one."""
        for place in reversed(stack):
            shown = self.code.place(place.filename)
            if shown is not None:
                return f"{shown.name}:{place.lineno + shown.offset}"
        if not stack:
            return None
        return f"{Cleaner().path(stack[-1].filename)}:{stack[-1].lineno}"

    def skipped(self) -> tuple[GraphBreak, ...]:
        """Functions of the model that PyTorch does not compile."""
        found = []
        for entry in self.log.compilations:
            if entry.failure is not None and entry.frame in self._frames:
                stack = self._code_of(entry) if entry.failed_at is None else (entry.failed_at,)
                found.append(self._told(Break(entry.failure, stack)))
        return _once(found)

    def _code_of(self, entry: Compilation) -> tuple[Place, ...]:
        """The first line of a function: an entry that gave up does not name it, its earlier ones do."""
        codes = [
            each for each in self.log.compilations if each.frame == entry.frame and each.code is not None
        ]
        return tuple(Place(*each.code, each.function or "") for each in codes[:1] if each.code)

    def recompiles(self) -> int | None:
        """How often these functions were compiled again; what our hooks caused is left out."""
        if self.log.reason is not None and not self.log.compilations:
            return None
        total = 0
        for frame in self._frames:
            entries = [each for each in self.log.compilations if each.frame == frame]
            attempts = [each.attempt for each in entries if not each.gave_up]
            attempts += [attempt for other, attempt in self._ran.values() if other == frame]
            total += max(attempts, default=0) - sum(each.for_hooks for each in entries)
        return max(0, total)

    def recompile_reasons(self) -> tuple[str, ...]:
        """Why, the most frequent first."""
        found = Counter(
            each.again for each in self.log.compilations
            if each.again and each.frame in self._frames and not each.for_hooks and not each.gave_up
        )  # fmt: skip
        return tuple(reason for reason, _ in found.most_common(_MOST_REASONS))

    def kernels(self) -> tuple[FusedKernel, ...]:
        """Those that the compiler wrote, of the graphs that ran; the dearest first where they are timed."""
        seen, found = self.seen, []
        for key, rows in self._graph_rows.items():
            source = self._sources.get(key)
            if seen is None or source is None:
                continue
            entry = self._by_id.get(self._ran.get(seen.region_around(rows[0]), (-1, -1)))
            owners = Owners(self.root).of(entry, source) if entry is not None else {}
            spent = seen.kernel_times(rows)
            for kernel in source.kernels():
                paths = [path for name in sorted(kernel.reads) for path in owners.get(name, ())]
                ns = spent.get(kernel.name)
                found.append(FusedKernel(
                    name=kernel.name, ops=ops_of(kernel.name), modules=tuple(dict.fromkeys(paths)),
                    ms=None if ns is None else ns / len(seen.calls) / 1e6,
                    calls=kernel.calls * len(rows) / len(seen.calls),
                ))  # fmt: skip
        found.sort(key=lambda each: -(each.ms or 0.0))
        return tuple(found[:_MOST_KERNELS])

    @cached_property
    def _graph_rows(self) -> dict[str, list[int]]:
        return {} if self.seen is None else self.seen.rows_by_graph()

    @cached_property
    def _sources(self) -> dict[str, GraphSource]:
        return sources(set(self._graph_rows))

    def reasons(self) -> list[str]:
        """What could not be told, and why."""
        found = []
        if self.seen is not None and not self._ran:
            found.append("no compiled graph ran in the traced calls")
        if any(key not in self._by_id for key in self._ran.values()):
            found.append("PyTorch's log no longer has all of these compilations: it keeps the newest 64")
        if self._graph_rows and not self._sources:
            found.append("the code that the compiler generated was not found")
        if self._ran and not self._graph_rows:
            found.append("the backend is not inductor: it marks no graphs in the trace, and tells no kernels")
        if self._sources and self.seen is not None and not self.seen.device[self.seen.inside].any():
            found.append("kernels for the CPU are not timed one by one")
        return found


def _once(found: Iterable[GraphBreak]) -> tuple[GraphBreak, ...]:
    """Each place once; of one that is told twice, the first."""
    return tuple({(each.line, each.reason): each for each in reversed(list(found))}.values())[::-1]
