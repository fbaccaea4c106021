"""What each technique would bring to a model, and which come first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from jupyter_optim.errors import Cancelled, InvalidOption
from jupyter_optim.report import Goal, Recommendation
from jupyter_optim.techniques.registry import techniques
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Technique


def checked_goal(goal: str) -> Goal:
    """`goal`, if it is one. Raises `InvalidOption`."""
    for known in get_args(Goal):
        if goal == known:
            return known  # type: ignore[no-any-return]
    raise InvalidOption(f"goal={goal!r}: choose one of {', '.join(get_args(Goal))}.")


def assessed(each: Technique, subject: Subject) -> Assessment:
    """The technique's judgement of a model; that trying it out failed, if it did."""
    try:
        return each.judge(subject).within_its_share()
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 (it runs the user's forward, and others' techniques)
        return Assessment(applies=False, reason=f"trying it out failed: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def recommended(assessments: Mapping[str, Assessment], goal: Goal) -> tuple[Recommendation, ...]:
    """The techniques that apply, those first that serve the goal best."""
    known = {each.name: each for each in techniques()}
    found = [
        Recommendation(
            technique=name, label=known[name].label, family=known[name].family,
            predicted_speedup=assessment.predicted_speedup, covers_share=assessment.covers_share,
            predicted_size_ratio=assessment.predicted_size_ratio, reason=assessment.reason,
            risk=known[name].risk, method=assessment.method,
        )
        for name, assessment in assessments.items()
        if assessment.applies and name in known
    ]  # fmt: skip
    if goal in ("size", "memory"):
        return tuple(sorted(found, key=lambda each: each.predicted_size_ratio or 1.0))
    # what has no prediction stands before what would be slower
    return tuple(sorted(found, key=lambda each: -(each.predicted_speedup or 1.0)))
