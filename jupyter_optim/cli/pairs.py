"""Which report of one file belongs to which of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jupyter_optim.cli.saved import Saved


@dataclass(frozen=True, slots=True)
class Paired:
    """Reports that belong together, in the order of the later file, and those that have no other half."""

    pairs: tuple[tuple[Saved, Saved], ...]
    only_before: tuple[Saved, ...]
    only_after: tuple[Saved, ...]


def paired(before: Sequence[Saved], after: Sequence[Saved], *, by_all_means: bool = False) -> Paired:
    """Pair two files' reports: by the cell, else by the model, in order.

    Args:
        before: those of the older file.
        after: those of the later file.
        by_all_means: a single one belongs to a single one, whatever they measure.
    """
    left, right = list(before), list(after)
    found: list[tuple[Saved, Saved]] = []
    keys: tuple[Callable[[Saved], object], ...] = (
        lambda saved: None if saved.cell_id is None else (saved.cell_id, saved.report.workload.model),
        lambda saved: (saved.report.workload.model, saved.report.workload.expression),
        lambda saved: saved.report.workload.model,
    )
    for key in keys:
        for new in tuple(right):
            wanted = key(new)
            old = next((each for each in left if wanted is not None and key(each) == wanted), None)
            if old is not None:
                left.remove(old)
                right.remove(new)
                found.append((old, new))
    if by_all_means and len(before) == len(after) == len(left) == len(right) == 1:
        found, left, right = [(left[0], right[0])], [], []
    found.sort(key=lambda pair: after.index(pair[1]))
    return Paired(tuple(found), tuple(left), tuple(right))
