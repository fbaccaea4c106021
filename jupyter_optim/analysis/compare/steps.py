"""The steps that lie between two reports of one session, and the speed-up that they were timed to have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jupyter_optim.analysis.speedups import inverse, product
from jupyter_optim.report import Interval, Report, StepRecord


@dataclass(frozen=True, slots=True)
class Between:
    """Labels of the steps that only the one model carries, or only the other."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    speedup: Interval | None
    """Of all of them, or None if one was not timed."""
    after_is_newer: bool


def steps_between(before: Report, after: Report) -> Between | None:
    """None unless one history continues the other, and the steps are those on top of what both models carry."""
    histories = before.history, after.history
    if not all(map(_same, *histories)):
        return None
    kept = [[i for i, step in enumerate(each) if step.accepted and not step.undone] for each in histories]
    common = sum(1 for a, b in zip(*kept, strict=False) if a == b)
    if kept[0][:common] != kept[1][:common] or kept[0] == kept[1]:
        return None
    removed, added = ([steps[i] for i in at[common:]] for steps, at in zip(histories, kept, strict=True))
    # a history grows, and later its steps may be undone
    ages = [(len(steps), sum(step.undone for step in steps)) for steps in histories]
    labels = [tuple(step.label for step in steps) for steps in (added, removed)]
    speedup = product([*(step.speedup for step in added), *(inverse(step.speedup) for step in removed)])
    return Between(labels[0], labels[1], speedup, ages[1] >= ages[0])


def _same(a: StepRecord, b: StepRecord) -> bool:
    """Whether two entries are one; its wall time is as good as a name, and JSON keeps six digits of it."""
    alike = (a.technique, a.label, a.verdict) == (b.technique, b.label, b.verdict)
    return alike and math.isclose(a.took_s, b.took_s, rel_tol=1e-4)
