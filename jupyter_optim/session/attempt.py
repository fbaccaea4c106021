"""Try a technique on a draft, beside the live model: transform, compare, time, judge. Nothing is grafted here."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from jupyter_optim.compiled_call import compiled_call
from jupyter_optim.errors import NotApplicable, OptimError
from jupyter_optim.guard import affordable, undisturbed, versions
from jupyter_optim.profiling.memory.of_model import weights_bytes
from jupyter_optim.profiling.paired import CLEAR_GAIN, PairedTiming, time_pair
from jupyter_optim.progress import Progress
from jupyter_optim.quality import (
    Evaluate,
    MaxDrop,
    compare_scores,
    fidelity,
    mismatch,
    run_evaluate,
)  # fmt: skip
from jupyter_optim.report import Goal, Interval, Quality, Verdict
from jupyter_optim.session.recovery import Train, recover
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.graft import Graft
from jupyter_optim.techniques.interruptible import interruptible
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Change, Technique
from jupyter_optim.workload import Workload

_NOTABLE_GAIN = 1.02
"""A gain below this is not worth a changed model, even where the interval clears 1."""
_NOTABLY_SMALLER = 0.95


@dataclass(frozen=True, slots=True)
class Reference:
    """What drafts are compared with: the answers, or the score, of the model before the first change."""

    outputs: Any
    score: float | None
    versions: tuple[int, ...]
    """Write counters of the weights that gave them: they are of no use once those were trained."""

    @classmethod
    def of(cls, subject: Subject, evaluate: Evaluate | None) -> Reference:
        """Ask the live model. Raises `EvaluateFailed`."""
        model = subject.model
        score = None
        if evaluate is not None:
            with _guarded(model):
                score = run_evaluate(evaluate, model)
        return cls(subject.workload.outputs(model), score, versions(model))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; `graft` is ready to be applied."""

    change: Change
    graft: Graft
    timing: PairedTiming
    quality: Quality
    size_ratio: float
    verdict: Verdict
    outputs: Any
    """The draft's, to be compared with the grafted model's."""
    build_s: float | None = None
    """How long the draft took to build, its first call included, where that is worth counting."""

    @property
    def note(self) -> str:
        """What was done, and after how many calls the building has paid."""
        if self.build_s is None:
            return self.change.note
        built = f"{self.change.note}; built in {self.build_s:.2g} s"
        saved_s = (self.timing.before_ms - self.timing.after_ms) / 1e3
        if self.timing.speedup.low <= 1 or saved_s <= 0:
            return built
        return f"{built}, which pays back after {math.ceil(self.build_s / saved_s):,} calls"


def attempt(
    technique: Technique, options: Mapping[str, Any], subject: Subject, *, reference: Callable[[], Reference],
    evaluate: Evaluate | None, goal: Goal, progress: Progress,
    train: Train | None = None,
) -> Outcome:  # fmt: skip
    """Change a draft and verify it. The live model is only read.

    Raises:
        OptimError: the technique failed in a way that has a sentence; any other exception passes through.
    """
    live, workload = subject.model, subject.workload
    before = weights_bytes(live)
    known = reference()
    progress.report(f"{technique.label}: changing a draft", None)
    trains = train if technique.lossy else None
    draft = Draft(live, weights=technique.weights if trains is None else "cloned")
    began = time.perf_counter()
    with _guarded_weights(live):
        change = technique.transform(draft.root, subject, options, progress)
    build_s = time.perf_counter() - began
    _check_identity(draft, change.model)
    if trains is not None:
        seconds = recover(trains, change, live, technique.label, progress)
        draft.trained = True
        change.note = f"{change.note}; trained for {seconds:.2g} s afterwards".removeprefix("; ")
        _check_identity(draft, change.model)
    if change.compiled is not None:
        change.model._compiled_call_impl = compiled_call(change.model, change.compiled)  # noqa: SLF001 (as nn.Module.compile)
    graft = Graft(draft, change.model, compiled=change.compiled)
    with workload.undisturbed(change.model):
        progress.report(f"{technique.label}: comparing answers", None)
        # the live model's own outputs have the structure that must be kept
        now = workload.outputs(live)
        asked = time.perf_counter()
        outputs = _first_answers(change, workload, progress)
        build_s += time.perf_counter() - asked
        changed = mismatch(now, outputs)
        if changed is not None:
            raise OptimError(f"it would change what the model returns: {changed}")
        quality = judge(evaluate, change.model, known, outputs, subject.max_drop, progress)
        with workload.undisturbed(live):
            timing = _timed(workload, live, change.model, progress)
    size_ratio = weights_bytes(change.model) / before if before else 1.0
    verdict = verdict_of(timing.speedup, size_ratio, quality, goal)
    builds = technique.builds or change.compiled is not None
    return Outcome(
        change, graft, timing, quality, size_ratio, verdict, outputs, build_s=build_s if builds else None
    )


def _first_answers(change: Change, workload: Workload, progress: Progress) -> Any:
    """The draft's. A model that is to be compiled is compiled by that, as long as nobody cancels it."""
    # what inductor keeps of CUDA graphs belongs to one thread
    if change.compiled is None or workload.device.type != "cpu":
        return workload.outputs(change.model)
    return interruptible(lambda: workload.outputs(change.model), progress)


def _timed(workload: Workload, live: nn.Module, draft: nn.Module, progress: Progress) -> PairedTiming:
    """Both side by side. A small gain has to be seen a second time, by pairs of its own, and these are what is told."""
    timing = time_pair(workload, live, draft, progress)
    if 1.0 < timing.speedup.low < CLEAR_GAIN:
        progress.report("Timing once more, since the gain is small", None)
        timing = time_pair(workload, live, draft, progress)
    return timing


def judge(
    evaluate: Evaluate | None, model: nn.Module, reference: Reference, outputs: Any, max_drop: MaxDrop,
    progress: Progress,
) -> Quality:  # fmt: skip
    """The user's score of `model`, or else the fidelity of its outputs. Raises `EvaluateFailed`."""
    if evaluate is None or reference.score is None:
        return fidelity(reference.outputs, outputs, max_drop)
    progress.report("Checking the quality with your evaluate", None)
    like = fidelity(reference.outputs, outputs, max_drop)
    quality = scored(evaluate, model, reference.score, max_drop)
    return Quality(
        metric=quality.metric, before=quality.before, after=quality.after, drop=quality.drop,
        max_drop=quality.max_drop, details={"cosine": like.after, **like.details},
    )  # fmt: skip


def scored(evaluate: Evaluate, model: nn.Module, before: float, max_drop: MaxDrop) -> Quality:
    """The user's score of `model` beside that of the original. Raises `EvaluateFailed`."""
    with _guarded(model):
        return compare_scores(before, run_evaluate(evaluate, model), max_drop)


def verdict_of(speedup: Interval, size_ratio: float, quality: Quality, goal: Goal) -> Verdict:
    """The one word. A gain is one when the interval clears 1; noise is never sold as a gain."""
    if not quality.drop <= quality.max_drop:
        return "quality lost"
    smaller = size_ratio <= _NOTABLY_SMALLER
    if speedup.low > 1.0 and speedup.median >= _NOTABLE_GAIN:
        return "faster"
    if speedup.high < 1.0 and speedup.median <= 1 / _NOTABLE_GAIN:
        return "smaller" if smaller and goal in ("size", "memory") else "slower"
    return "smaller" if smaller else "no gain"


def is_better(verdict: Verdict) -> bool:
    """Whether a step of this verdict is kept of itself."""
    return verdict in ("faster", "smaller")


def _guarded(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """The user's evaluate may do what it likes: a draft's weights are the live model's own."""
    return undisturbed(model, parameters=affordable(model))


@contextlib.contextmanager
def _guarded_weights(live: nn.Module) -> Iterator[None]:
    """The transformation must not write to the live weights: if it does, it is refused, and they are put back."""
    before = versions(live)
    copied = affordable(live)
    with undisturbed(live, parameters=copied):
        yield
        if versions(live) != before:
            kept = "they were put back" if copied else "and there was no memory for a copy to put back"
            raise OptimError(f"the technique wrote to the live model's weights; {kept}")


def _check_identity(draft: Draft, root: nn.Module) -> None:
    """The changed tree must hold no live module: a graft would then be half a change."""
    live = set(draft.origin.values())
    if any(module in live for module in root.modules()):
        raise NotApplicable("The technique put a module of the live model into its draft.")
