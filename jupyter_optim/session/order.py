"""Which change comes first: what to tell of a technique that applied before another one was put in."""

from __future__ import annotations

from dataclasses import replace

from jupyter_optim.session.step import Step
from jupyter_optim.techniques.registry import technique
from jupyter_optim.techniques.technique import Assessment, Technique


def out_of_order(found: Assessment, chosen: Technique, step: Step | None) -> Assessment:
    """`found`, with what to do about it where it is a change in place that leaves the technique nothing.

    Args:
        found: the judgement of a model with changes in place.
        chosen: the technique that was judged.
        step: the last change before which it applied; None if there is none.
    """
    if found.applies or step is None or step.technique == chosen.name or "undo" in found.reason:
        return found
    if technique(step.technique).family == chosen.family:
        advice = f"{step.label} is in place: undo it to try this instead"
    else:
        advice = f"it did before {step.label}: undo that, apply this, and then that again"
    return replace(found, reason=f"{found.reason}; {advice}")
