"""What techniques have in common that let another engine answer a model's calls."""

from __future__ import annotations

import functools
import hashlib
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from jupyter_optim.errors import Cancelled, InvalidInputs, MissingExtra, NotApplicable, OptimError
from jupyter_optim.profiling.latency import no_gc, synchronizer
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop, fidelity, mismatch
from jupyter_optim.techniques.calibration import Calibration
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.engines.extra import missing
from jupyter_optim.techniques.engines.flat import Frame, key_of
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.engines.stand_in import Engine, StandIn, stand_in_
from jupyter_optim.techniques.engines.suited import checked, elsewhere, obstacle
from jupyter_optim.techniques.engines.trial import Trial
from jupyter_optim.techniques.interruptible import interruptible
from jupyter_optim.techniques.rehearse import Prediction, times_of
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique
from jupyter_optim.workload import Workload

_REPEATED_SHARE = 0.6
"""Fraction of the time in blocks of one kind above which one of them stands for the whole model."""

_CLOSE = 1e-3
"""Loss of cosine similarity that a faster form may cost without a word."""

_ROUNDS, _CALLS = 7, 5


@dataclass(frozen=True, slots=True)
class Form:
    """A way to run a call."""

    word: str
    make: Callable[[], Engine]
    """Makes the engine for it."""
    try_elsewhere: Callable[[], Trial] | None = None
    """Calls it in another process, for an engine that is not asked into this one before somebody wants it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be converted."""

    call: ForwardCall
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    """Those of `EngineTechnique.facts`."""
    once: Callable[[tuple[str, ...], Callable[[], Any]], Any]
    """What its second argument makes, made at the first call with that key."""
    progress: Progress


class EngineTechnique(Technique):
    """Converts a model, and lets the engine answer its calls; class, signature and `state_dict` stay."""

    family = "engine"
    builds = True
    rebuilds = "afterwards"
    needs: ClassVar[tuple[str, ...]]
    """Modules of the extra `extra`."""
    extra: ClassVar[str] = "engines"
    device: ClassVar[str] = "cpu"
    """Type of the devices that it runs on."""
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32,)
    """Types of weights that it converts."""
    why: ClassVar[str]
    """What it brings, in a sentence."""
    quick: ClassVar[bool] = True
    """Whether a conversion is quick enough to predict the gain by one, whenever a model is measured."""
    takes: ClassVar[str] = "seconds"
    """How long a conversion takes, where it is not."""
    calibrates: ClassVar[bool] = False
    """Whether it finds fixed scales on inputs."""
    computes: ClassVar[str] = "{}"
    """What a form computes in, around its word."""

    @abstractmethod
    def forms(self, job: Job) -> list[Form]:
        """Ways to run a call, of which the fastest is taken. Raises whatever the conversion raises."""

    def judge(self, subject: Subject) -> Assessment:
        reason = (
            subject.obstacle
            or elsewhere(subject.workload.device, self.device)
            or missing(*self.needs, extra=self.extra)
            or obstacle(subject, self.dtypes)
        )
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        try:
            prediction = self._rehearsed(subject)
        except Cancelled:
            raise
        except OptimError as error:
            return Assessment(applies=False, reason=str(error).rstrip("."))
        except Exception as error:  # noqa: BLE001 (a conversion may fail in any way)
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            return Assessment(applies=False, reason=f"it cannot be converted: {first[:200]}")
        return Assessment(
            applies=True, reason=self.why, covers_share=1.0, predicted_speedup=prediction.speedup,
            method=prediction.method,
        )  # fmt: skip

    def _rehearsed(self, subject: Subject) -> Prediction:
        """Time the engine on a block that the model repeats, or on the whole model."""
        draft = Draft(subject.model).root
        if not self.quick:
            checked(ForwardCall.of(draft, subject.workload), subject.workload.device)
            method = f"not predicted: to convert it takes {self.takes}, and a click measures it"
            return Prediction(None, 1.0, method)
        blocks = _repeated_blocks(subject)
        workload = subject.workload
        call = checked(ForwardCall.of(draft, workload, blocks[0].path if blocks else ""), workload.device)
        share = sum(block.share for block in blocks) or 1.0
        with torch.no_grad(), workload.undisturbed(draft), no_gc():
            after = self._fastest(self._job(call, subject, {}), subject, _trial).took_s
            fixed = 0.0
            if blocks:
                # what each call of an engine costs by itself is paid once, and not for each block
                tensors = call.tensors
                nothing = ForwardCall(_Through(), tuple(tensors), {}, tuple(tensors), path="nothing")
                fixed = _trial(nothing, self.forms(self._job(nothing, subject, {}))[0]).took_s
            live = [lambda: workload.call(draft, *workload.fresh_inputs())]
            before = min(times_of(live, workload.device, _CALLS)[0])
        if not blocks:
            return Prediction(before / after, 1.0, "measured on the whole model")
        own = max(after - fixed, 0.05 * after) * len(blocks) / share
        what = f"measured on `{blocks[0].path}`, one of {len(blocks)} alike"
        return Prediction(before / (own + fixed), 1.0, what)

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        call = checked(ForwardCall.of(draft, subject.workload), subject.workload.device)
        if self.calibrates and subject.calibration is not None:
            call = _calibrated(call, draft, subject.workload, subject.calibration, progress)
        found = self._fastest(self._job(call, subject, options, progress), subject, _try)
        assert found.engine is not None  # it was made here
        facts = {"word": found.word, "calibrated": bool(call.calibration), **self.facts(subject)}
        if self._is_scaled(found.word):
            facts["samples"] = _digest(call)
        return self._stood_in(draft, call, found.engine, facts)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        """Convert the draft, which has its weights, for a call with the inputs of `kept`."""
        word, scaled = self.word_here(kept.facts["word"]), self._is_scaled(kept.facts["word"])
        absent = missing(*self.needs, extra=self.extra)
        if absent is not None:
            raise MissingExtra(f"{self.label}: {absent}.")
        if kept.inputs is None:
            raise NotApplicable(
                f"{self.label} is converted anew, for inputs like those that it was saved with: give `inputs`, as for "
                "`optimize`."
            )
        if scaled and kept.facts["calibrated"] and kept.calibration is None:
            raise NotApplicable(
                f"{self.label} has its scales from calibration inputs: give them again as `calibration`."
            )
        modes = {module: module.training for module in draft.modules()}
        draft.eval()
        with torch.no_grad():
            call = self._kept_call(draft, kept)
            made: dict[tuple[str, ...], Any] = {}
            job = Job(
                call, kept.options, kept.facts, lambda key, make: made.setdefault(key, make()), Progress()
            )
            engine = next(form for form in self.forms(job) if form.word == word).make()
        for module, training in modes.items():
            module.training = training
        if scaled and kept.facts["samples"] != _digest(call):
            warnings.warn(
                f"{self.label} finds its scales on other inputs than those it had when it was saved: its answers will "
                "differ a little from the saved model's.", UserWarning, stacklevel=5,
            )  # fmt: skip
        return self._stood_in(draft, call, engine, {**kept.facts, "word": word})

    def _kept_call(self, draft: nn.Module, kept: Kept) -> ForwardCall:
        assert kept.inputs is not None  # `rebuild` has looked
        args, kwargs = kept.inputs
        workload = Workload.of_call(draft, kwargs or args)
        reason = elsewhere(workload.device, self.device)
        if reason is not None:
            raise NotApplicable(f"{self.label}: {reason}.")
        call = checked(ForwardCall.of(draft, workload), workload.device)
        if self.calibrates and kept.facts["calibrated"] and kept.calibration is not None:
            calibration = Calibration(kept.calibration, workload)
            call = _calibrated(call, draft, workload, calibration, Progress())
        return call

    def _job(
        self,
        call: ForwardCall,
        subject: Subject,
        options: Mapping[str, Any],
        progress: Progress | None = None,
    ) -> Job:
        parsed = self.parse_options(options)
        return Job(call, parsed, self.facts(subject), subject.once, progress or subject.progress)

    def _fastest(self, job: Job, subject: Subject, look: Callable[[ForwardCall, Form], _Tried]) -> _Tried:
        """The fastest form among those that answer closely enough, or else the most exact one."""
        forms = interruptible(lambda: self.forms(job), job.progress)
        found = []
        for form in forms:
            job.progress.check()
            found.append(interruptible(functools.partial(look, job.call, form), job.progress))
        close = max(_CLOSE, subject.max_drop.allowed(1.0) / 10)
        good = [each for each in found if each.drop <= close]
        return min(good, key=lambda each: each.took_s) if good else min(found, key=lambda each: each.drop)

    def _is_scaled(self, word: str) -> bool:
        """Whether a form has scales that were found on inputs."""
        return self.calibrates and word != "dynamic"

    def _stood_in(self, draft: nn.Module, call: ForwardCall, engine: Engine, facts: dict[str, Any]) -> Change:
        key = key_of(call.args, call.kwargs, engine.device)
        assert key is not None  # `checked` has looked
        stand_in_(draft, StandIn(type(draft).forward, engine, draft, key, call.outputs))
        note = f"{engine.label}, {self.computes.format(facts['word'])}"
        if call.calibration and self._is_scaled(facts["word"]):
            note += ", scaled by the calibration inputs"
        return Change(draft, note, facts)

    def word_here(self, word: str) -> str:
        """What a form that was saved on another machine is called on this one."""
        return word

    def facts(self, subject: Subject) -> dict[str, Any]:
        """What else of the model `source` and `rebuild` need to know."""
        return {}


def _digest(call: ForwardCall) -> str:
    """Equal for calls that the same scales come of."""
    found = hashlib.sha256()
    for sample in call.samples:
        for tensor in sample:
            # numpy has no bfloat16
            whole = tensor.detach().contiguous().flatten().view(torch.uint8)
            found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode() + whole.numpy().tobytes())
    return found.hexdigest()


def _calibrated(
    call: ForwardCall, draft: nn.Module, usual: Workload, calibration: Calibration, progress: Progress
) -> ForwardCall:
    """`call` with the tensors that the draft's `forward` gets for the calibration inputs. Raises `InvalidInputs`."""
    workloads, found = calibration.workloads(usual, progress), []
    for number, workload in enumerate(workloads, 1):
        progress.report(f"Calling the model with calibration input {number} of {len(workloads)}", None)
        try:
            other = ForwardCall.of(draft, workload)
        except Exception as error:
            raise InvalidInputs(
                f"calibration input {number}: the model raised {type(error).__name__}: {error}"
            ) from error
        if [each.dtype for each in other.tensors] != [each.dtype for each in call.tensors]:
            raise InvalidInputs(f"calibration input {number} reaches the model's forward in another form")
        found.append(other.tensors)
    return replace(call, calibration=tuple(found))


class _Through(nn.Module):
    """Answers its inputs: what is left of a call is what the engine costs by itself."""

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensor + 0 if tensor.dtype != torch.bool else ~tensor for tensor in tensors)


@dataclass(frozen=True, slots=True)
class _Tried:
    word: str
    engine: Engine | None
    drop: float
    """Loss of cosine similarity to the model's own answers."""
    took_s: float


def _trial(call: ForwardCall, form: Form) -> _Tried:
    """How a form does, in another process where it can be."""
    if form.try_elsewhere is None:
        return _try(call, form)
    found = form.try_elsewhere()
    return _Tried(form.word, None, _drop(call, found.outputs), found.seconds)


def _try(call: ForwardCall, form: Form) -> _Tried:
    engine, tensors = form.make(), call.tensors
    drop = _drop(call, engine.run(tensors))
    synchronize, times = synchronizer(engine.device), []
    for _ in range(_ROUNDS):
        synchronize()
        began = time.perf_counter()
        engine.run(tensors)
        synchronize()
        times.append(time.perf_counter() - began)
    return _Tried(form.word, engine, drop, min(times))


def _drop(call: ForwardCall, found: list[torch.Tensor]) -> float:
    """Loss of cosine similarity to the model's own answers. Raises `OptimError` if they are of another kind."""
    outputs = Frame(call.outputs)
    answers = outputs.filled([each.to(dtype) for each, dtype in zip(found, outputs.dtypes, strict=True)])
    changed = mismatch(call.outputs, answers)
    if changed is not None:
        raise OptimError(f"it would change what the model returns: {changed}")
    return fidelity(call.outputs, answers, MaxDrop(1)).drop


def _repeated_blocks(subject: Subject) -> list[Layer]:
    """Blocks of one kind in which most of the time is spent, the outermost such; empty if there are none."""
    kinds = {type(module) for path, module in subject.modules.items() if path and list(module.children())}
    found: list[list[Layer]] = []
    for kind in kinds:
        alike: dict[str, list[Layer]] = {}
        for layer in subject.layers([kind]):
            alike.setdefault(layer.kind, []).append(layer)
        found += [each for each in alike.values() if len(each) > 1]
    most = max(found, key=lambda each: sum(layer.share for layer in each), default=[])
    return most if sum(layer.share for layer in most) >= _REPEATED_SHARE else []
