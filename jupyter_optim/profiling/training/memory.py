"""The memory of a training: the most that each phase held, and who held what when most was held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from jupyter_optim.profiling.memory.blocks import blocks_of
from jupyter_optim.profiling.memory.of_model import weights_bytes
from jupyter_optim.profiling.memory.peak import peak_of
from jupyter_optim.profiling.trace.causes import Causes
from jupyter_optim.profiling.trace.columns import Columns, Ints
from jupyter_optim.profiling.trace.labels import Labels
from jupyter_optim.profiling.trace.nesting import running
from jupyter_optim.report import Holder


@dataclass(frozen=True, slots=True)
class TrainingPeak:
    """The moment at which the steps held most: how much, or None if the weights are not known, and by kind."""

    bytes: int | None
    kinds: tuple[Holder, ...]


def most_held(columns: Columns, phase: Ints, begins: Ints, count: int) -> list[int | None]:
    """By phase, the most that was held during it above what was held as the recording began; None if unknown.

    Args:
        columns: the trace.
        phase: by row, the number of its innermost phase, or -1.
        begins: the same for the rows of the phases' own ranges, else -1.
        count: how many phases are looked at: their numbers are below it.
    """
    memory = columns.memory
    if len(memory) == 0:
        return [None] * count
    held = np.append(0, np.cumsum(memory.bytes))
    row = running(columns, memory.at, memory.thread)
    # what is held as a phase begins, and after each change in it
    numbers = np.append(np.where(row >= 0, phase[row], -1), begins[begins >= 0])
    levels = np.append(held[1:], held[np.searchsorted(memory.at, columns.start[begins >= 0])])
    found: list[int | None] = []
    for number in range(count):
        own = levels[numbers == number]
        found.append(max(0, int(own.max())) if len(own) else None)
    return found


def training_peak(causes: Causes, end: int, labels: Labels, model: nn.Module | None) -> TrainingPeak | None:
    """Who held what when most was held; None if the trace has no allocations.

    All that is allocated since the recording began counts, so that the state of an optimizer, which its first step
    makes, is in it. What was there before is not seen, but for the weights.

    Args:
        causes: the trace, and what its rows belong to.
        end: when the last step ends, ns.
        labels: what modules and lines are called.
        model: what is trained; without it, the sum is not known.
    """
    weights = {} if model is None else blocks_of((*model.parameters(), *model.buffers()))
    found = peak_of(
        causes.columns, 0, end, paths=labels.paths(), line_names=labels.lines, causes=causes, weights=weights
    )
    if found is None:
        return None
    if model is None:
        return TrainingPeak(None, found.kinds)
    total = weights_bytes(model)
    # a model that the cell itself makes is seen in the trace
    seen = sum(each.bytes for each in found.kinds if each.kind == "weights")
    others = [each for each in found.kinds if each.kind != "weights"]
    kinds = [Holder(kind="weights", bytes=total, blocks=len(list(model.parameters()))), *others]
    return TrainingPeak(
        found.bytes - seen + total, tuple(sorted((k for k in kinds if k.bytes), key=lambda each: -each.bytes))
    )
