"""One model's life: baseline, draft, verify, graft or leave, undo."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec
import torch
from torch import nn

from jupyter_optim.analysis.findings import find
from jupyter_optim.analysis.roofline import placed
from jupyter_optim.errors import Cancelled, InvalidOption, NotApplicable, OptimError
from jupyter_optim.guard import rng_kept, versions
from jupyter_optim.privacy import private
from jupyter_optim.profiling.lines.user_code import cleaner
from jupyter_optim.profiling.measure import Measurement, measure
from jupyter_optim.profiling.replay import write_trace
from jupyter_optim.profiling.source import Source
from jupyter_optim.progress import Listener, Progress
from jupyter_optim.quality import MaxDrop, fidelity
from jupyter_optim.quiet import libraries_quiet
from jupyter_optim.report import Quality, Recommendation, Report
from jupyter_optim.session.attempt import Outcome, Reference, attempt, is_better, scored
from jupyter_optim.session.changes import Changes, State
from jupyter_optim.session.export import export_model
from jupyter_optim.session.keep import save_model
from jupyter_optim.session.order import out_of_order
from jupyter_optim.session.recommend import assessed, first_line, recommended
from jupyter_optim.session.recovery import advised, trained_source
from jupyter_optim.session.step import Step, sentence
from jupyter_optim.session.structure import structure_of
from jupyter_optim.session.terms import Terms
from jupyter_optim.session.work import WORK
from jupyter_optim.techniques.graft import Swapper
from jupyter_optim.techniques.interruptible import wait_for_cancelled
from jupyter_optim.techniques.registry import technique as technique_named
from jupyter_optim.techniques.registry import techniques
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Technique
from jupyter_optim.workload import Workload

if TYPE_CHECKING:
    from jupyter_optim.notebook.panel import Panel

Keep = Literal["if-better", "always"]


class Session:
    """Measures one model, changes it in place, verifies each change, and takes it back.

    Made by `jupyter_optim.optimize`, or by ``%%optimize``. All methods may be called from any thread; one
    piece of work runs at a time.
    """

    def __init__(
        self, workload: Workload, terms: Terms | None = None, *, source: Source | None = None,
        progress: Progress | None = None, predict: bool = True,
    ) -> None:  # fmt: skip
        self._terms = (terms or Terms()).read(workload)
        self._workload, self._source = workload, source
        self._listeners: list[Listener] = []
        self._progress: Progress | None = None
        self._steps: list[Step] = []
        self._reference: Reference | None = None
        with self._work(f"measuring {type(workload.model).__name__}", progress) as own:
            self._changes = Changes(State(self._measured(own)))
            if predict:
                self._predict(own)

    def __repr__(self) -> str:
        kept = sum(1 for step in self._steps if step.accepted and not step.undone)
        return f"<Session of {type(self.model).__name__}: {len(self._steps)} steps tried, {kept} in place>"

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copied model starts without a session."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """A saved model comes back without a session."""
        return (type(None), ())

    def remeasure(
        self, workload: Workload, terms: Terms, *, source: Source | None = None, progress: Progress | None = None,
        predict: bool = True,
    ) -> Report:  # fmt: skip
        """Go on with another workload of the same model, and on other terms: the history stays."""
        before = self._terms, self._workload, self._source
        self._terms = terms.read(workload)
        self._workload, self._source = workload, source
        try:
            with self._work(f"measuring {type(workload.model).__name__}", progress) as own:
                self._changes.settle(State(self._measured(own)))
                self._reference = None
                if predict:
                    self._predict(own)
        except BaseException:
            self._terms, self._workload, self._source = before
            raise
        return self.report

    # What is known

    @property
    def model(self) -> nn.Module:
        """The very object that was passed in."""
        return self._workload.model

    @property
    def workload(self) -> Workload:
        return self._changes.now.measurement.workload

    @property
    def baseline(self) -> Report:
        """The report before any change."""
        return self._composed(self._changes.first, ())

    @property
    def report(self) -> Report:
        """The report of the model as it is now, with the history."""
        return self._composed(self._changes.now, tuple(self._steps))

    @property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """Techniques that apply, the largest predicted gain first."""
        return recommended(self._changes.now.assessments or {}, self._terms.goal)

    @property
    def assessments(self) -> dict[str, Assessment]:
        """Every technique's judgement of the model as it is now, also of those that do not apply."""
        return dict(self._changes.now.assessments or {})

    @property
    def history(self) -> tuple[Step, ...]:
        """Every step that was tried, also rejected and undone ones."""
        return tuple(self._steps)

    @property
    def subject(self) -> Subject:
        """The model as a technique sees it."""
        state = self._changes.now.measurement
        return Subject(
            model=self.model, workload=state.workload, report=state.report, inputs=state.inputs,
            max_drop=self._terms.max_drop, judged_by_user=self._terms.evaluate is not None,
            score=self._score if self._terms.evaluate is not None else None, calibration=self._terms.calibration,
            progress=self._progress or Progress(),
        )  # fmt: skip

    @property
    def can_undo(self) -> bool:
        return self._changes.can_undo

    @property
    def can_redo(self) -> bool:
        return self._changes.can_redo

    @property
    def busy(self) -> str | None:
        """What this process is busy with, or None."""
        return WORK.what

    @property
    def panel(self) -> Panel:
        """The buttons, in a notebook."""
        from jupyter_optim.notebook.panel import panel_of  # noqa: PLC0415 (the face stands above)

        return panel_of(self)

    def _composed(self, state: State, steps: tuple[Step, ...]) -> Report:
        report = state.measurement.report
        composed = msgspec.structs.replace(
            report, findings=find(report), recommendations=recommended(state.assessments or {}, self._terms.goal),
            history=tuple(step.record() for step in steps),
        )  # fmt: skip
        return composed if self._terms.with_paths else private(composed, cleaner())

    # Work

    def profile(self) -> Report:
        """Measure the model as it is now once more."""
        with self._work("measuring again") as progress:
            self._changes.settle(State(self._measured(progress)))
            self._predict(progress)
        return self.report

    def predict(self, progress: Progress | None = None) -> tuple[Recommendation, ...]:
        """Judge every technique on the model as it is now; *Cancel* ends that with those that were judged so far.

        Raises:
            Busy: other work is under way.
        """
        with self._work("predicting what would help", progress) as own:
            self._predict(own)
        return self.recommendations

    def write_trace(self, path: str | PathLike[str]) -> Path:
        """Record a few calls of the model as it is now, and write down the profiler's trace.

        Args:
            path: a file, ``.json`` or ``.json.gz``; anything else is a log folder of TensorBoard, made if need be.

        Returns:
            The file that was written.

        Raises:
            OptimError: the model cannot be called again, or the trace cannot be written.
            Busy, Cancelled: as for `apply`.
        """
        with self._work("tracing") as progress:
            return write_trace(
                self.workload, self._changes.now.measurement.report.latency, Path(path), progress,
                with_paths=self._terms.with_paths,
            )  # fmt: skip

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the model as it is now into a folder: weights (safetensors) and a recipe (JSON).

        ``jupyter_optim.load(model, path)`` makes a fresh original the same.

        Args:
            path: a new folder, or one with a saved model, which is replaced.

        Raises:
            NotApplicable: a change in place cannot be made anew from a file.
            OptimError: the model cannot be saved without pickle, or the folder cannot be written.
            Busy: other work is under way.
        """
        with self._work("saving"):
            original = self._changes.original or structure_of(self.model)
            return save_model(self.model, self._changes.kept, original, path)

    def export(self, path: str | PathLike[str]) -> Path:
        """Write the model as it is now in a format of others, for inputs like those it was measured on.

        Args:
            path: ends in ``.onnx``, ``.pt2`` (`torch.export`) or ``.xml`` (OpenVINO, with a ``.bin`` beside it).

        Returns:
            The file that was written; run there, it answers like the model.

        Raises:
            InvalidOption: another ending.
            MissingExtra: a package is not installed; the message has the command.
            ExportFailed: the model, or a change in place, cannot be written in that format.
            Busy, Cancelled: as for `apply`.
        """
        with self._work("exporting") as progress:
            return export_model(self.workload, Path(path).expanduser(), self._changes.kept, progress)

    def apply(self, name: str, keep: Keep = "if-better", **options: Any) -> Step:
        """Try a technique on a draft, verify it beside the live model, and keep it if it is better.

        Args:
            name: the technique, such as ``int8-dynamic``.
            keep: ``always`` puts it in even if it is slower, or loses quality.
            options: the technique's own.

        Returns:
            The step. What fails on the way gives one with the verdict ``failed``, and leaves the model as it was.

        Raises:
            UnknownTechnique, InvalidOption, NotApplicable: nothing was tried.
            Busy: other work is under way.
            Cancelled: *Cancel* was pressed; the model is as before.
        """
        chosen = technique_named(name)
        parsed = chosen.parse_options(options)
        if keep not in get_args(Keep):
            raise InvalidOption(f"keep={keep!r}: give 'if-better' or 'always'.")
        with self._work(chosen.label) as progress:
            # the state may be older than the user's last cell: judge the model as it is
            assessment = (self._changes.now.assessments or {}).get(name) or self._judged(chosen, self.subject)
            if not assessment.applies:
                raise NotApplicable(f"{chosen.label} does not apply: {assessment.reason}.")
            began = time.perf_counter()
            step = self._try(chosen, parsed, keep, assessment, progress)
            step.took_s = time.perf_counter() - began
            self._steps.append(step)
            if step.accepted:
                self._predict(progress)
            step.report = self.report
            return step

    def undo(self) -> Step | None:
        """Take the last change out again. Returns it, or None if there is none."""
        with self._work("undo"):
            return self._undo()

    def redo(self) -> Step | None:
        """Put the change that was last taken out in again. Returns it, or None if there is none."""
        with self._work("redo"):
            return self._redo()

    def reset(self) -> Step | None:
        """Take all changes out; `redo` brings them back one by one. Returns the first one, or None."""
        with self._work("reset"):
            step = last = self._undo()
            while step is not None:
                last, step = step, self._undo()
            return last

    def cancel(self) -> None:
        """Ask the running work to stop; it ends within a second, with the model as before."""
        if self._progress is not None:
            self._progress.cancel()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with what is being done, and how far; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def swap_on(self, swapper: Swapper) -> None:
        """Have the exchange of the model's contents run by `swapper`, where no cell is using the model."""
        self._changes.swap = swapper

    def code(self) -> str:
        """The steps in place as plain PyTorch, to a variable called ``model``."""
        kept = self._changes.kept
        if not kept:
            return "# No change is in place.\n"
        blocks = [f"# {step.label}: {step.reason}\n{step.code.rstrip()}\n" for step in kept]
        return "\n".join(blocks)

    @contextmanager
    def _work(self, what: str, progress: Progress | None = None) -> Iterator[Progress]:
        with WORK.held(what):
            self._progress = progress or Progress(self._tell)
            try:
                wait_for_cancelled(self._progress)
                # tensors made in the caller's inference mode could never be trained or written to again
                with torch.inference_mode(mode=False), rng_kept():
                    yield self._progress
            finally:
                self._progress = None

    def _tell(self, text: str, fraction: float | None) -> None:
        for listener in tuple(self._listeners):
            listener(text, fraction)

    def _measured(self, progress: Progress) -> Measurement:
        found = measure(self._workload, progress, self._source)
        return replace(found, report=placed(found.report))

    def _predict(self, progress: Progress) -> None:
        subject, known = self.subject, techniques()
        found = self._changes.now.assessments = dict[str, Assessment]()
        try:
            for number, each in enumerate(known):
                progress.report(f"Predicting what would help: {each.label}", number / len(known))
                with libraries_quiet():
                    found[each.name] = self._judged(each, subject)
        except Cancelled:
            return

    def _judged(self, chosen: Technique, subject: Subject) -> Assessment:
        return out_of_order(assessed(chosen, subject), chosen, self._changes.last_without(chosen.name))

    def _score(self, model: nn.Module) -> Quality:
        reference, terms = self._reference_now(), self._terms
        assert terms.evaluate is not None  # else nobody is given this
        assert reference.score is not None
        return scored(terms.evaluate, model, reference.score, terms.max_drop)

    def _reference_now(self) -> Reference:
        known = self._reference
        if known is None or known.versions != versions(self.model):
            known = self._reference = Reference.of(self.subject, self._terms.evaluate)
        return known

    def _try(
        self,
        chosen: Technique,
        options: dict[str, Any],
        keep: Keep,
        assessment: Assessment,
        progress: Progress,
    ) -> Step:
        def failed(reason: str) -> Step:
            reason = reason if self._terms.with_paths else cleaner().text(reason)
            return Step(
                chosen.name, chosen.label, options, "failed", f"{reason.rstrip('.')}. The model is as it was.",
                accepted=False, predicted_speedup=assessment.predicted_speedup,
            )  # fmt: skip

        try:
            with libraries_quiet():
                outcome = attempt(
                    chosen, options, self.subject, reference=self._reference_now, evaluate=self._terms.evaluate,
                    goal=self._terms.goal, progress=progress, train=self._terms.train,
                )  # fmt: skip
                # before the model is touched: a technique of somebody else's may raise here too
                code = trained_source(chosen.source(options, outcome.change.facts), chosen, self._terms.train)
                structure = structure_of(self.model)
                kept = keep == "always" or is_better(outcome.verdict)
                progress.check()
                verify = partial(self._verify, outcome, progress)
                before = self._changes.adopt(outcome.graft, verify) if kept else None
        except Cancelled:
            raise
        except OptimError as error:
            return failed(str(error))
        except Exception as error:  # noqa: BLE001 (a technique, an engine or a user's forward may raise anything)
            return failed(f"{chosen.label} failed: {first_line(error)}")
        reason = sentence(
            outcome.verdict, speedup=outcome.timing.speedup, size_ratio=outcome.size_ratio,
            quality=outcome.quality, kept=kept, note=outcome.note,
        )  # fmt: skip
        if outcome.verdict == "quality lost":
            reason = advised(reason, chosen, self._terms.train)
        step = Step(
            chosen.name, chosen.label, options, outcome.verdict, reason,
            accepted=kept, speedup=outcome.timing.speedup, predicted_speedup=assessment.predicted_speedup,
            size_ratio=outcome.size_ratio, quality=outcome.quality, before_ms=outcome.timing.before_ms,
            after_ms=outcome.timing.after_ms, note=outcome.note, code=code,
            facts=outcome.change.facts,
        )  # fmt: skip
        if before is not None:
            self._changes.push(step, outcome.graft, before, structure)
            self._refresh_reference()
        return step

    def _verify(self, outcome: Outcome, progress: Progress) -> None:
        """Look once whether the live model now answers like the draft, and measure it."""
        like = fidelity(outcome.outputs, self.workload.outputs(self.model), MaxDrop(1e-3))
        if like.drop > like.max_drop:
            raise OptimError("once in place, the model did not answer like its draft")
        self._changes.now = State(self._measured(progress))
        if self.workload.obstacle is not None:
            raise OptimError(f"once in place, the model failed: {self.workload.obstacle}")

    def _undo(self) -> Step | None:
        step = self._changes.undo()
        if step is not None:
            self._refresh_reference()
        return step

    def _redo(self) -> Step | None:
        step = self._changes.redo()
        if step is not None:
            self._refresh_reference()
        return step

    def _refresh_reference(self) -> None:
        if self._reference is not None:
            known = self._reference
            self._reference = Reference(known.outputs, known.score, versions(self.model))
