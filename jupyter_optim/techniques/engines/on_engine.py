"""What techniques have in common that let another engine answer a model's calls."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import Cancelled, InvalidInputs, NotApplicable, OptimError
from jupyter_optim.profiling.latency import no_gc
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop, fidelity, mismatch
from jupyter_optim.techniques.calibration import Calibration
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.engines.extra import missing
from jupyter_optim.techniques.engines.flat import Frame, key_of
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.engines.stand_in import Engine, StandIn, stand_in_
from jupyter_optim.techniques.engines.trial import Trial
from jupyter_optim.techniques.precision import floating_dtype
from jupyter_optim.techniques.rehearse import Prediction, times_of
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Technique

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


class EngineTechnique(Technique):
    """Converts a model, and lets the engine answer its calls; class, signature and `state_dict` stay."""

    family = "engine"
    builds = True
    needs: ClassVar[tuple[str, ...]]
    """Modules of the extra `engines`."""
    why: ClassVar[str]
    """What it brings, in a sentence."""
    quick: ClassVar[bool] = True
    """Whether a conversion is quick enough to predict the gain by one, whenever a model is measured."""

    calibrates: ClassVar[bool] = False
    """Whether it finds fixed scales on inputs."""

    @abstractmethod
    def forms(
        self, call: ForwardCall, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> list[Form]:
        """Ways to run `call`, of which the fastest is taken. Raises whatever the conversion raises."""

    def judge(self, subject: Subject) -> Assessment:
        reason = missing(*self.needs) or subject.obstacle or _obstacle(subject)
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
            _checked(ForwardCall.of(draft, subject.workload))
            return Prediction(
                None, 1.0, "not predicted: to convert it takes seconds, and a click measures it"
            )
        blocks = _repeated_blocks(subject)
        call = _checked(ForwardCall.of(draft, subject.workload, blocks[0].path if blocks else ""))
        options = self.parse_options({})
        workload, share = subject.workload, sum(block.share for block in blocks) or 1.0
        with torch.no_grad(), workload.undisturbed(draft), no_gc():
            after = _fastest(
                call, self.forms(call, subject, options, subject.progress), subject, _trial
            ).took_s
            fixed = 0.0
            if blocks:
                # what each call of an engine costs by itself is paid once, and not for each block
                tensors = call.tensors
                nothing = ForwardCall(_Through(), tuple(tensors), {}, tuple(tensors), path="nothing")
                fixed = _trial(nothing, self.forms(nothing, subject, options, subject.progress)[0]).took_s
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
        call = _checked(ForwardCall.of(draft, subject.workload))
        if self.calibrates and subject.calibration is not None:
            call = _calibrated(call, draft, subject, subject.calibration, progress)
        found = _fastest(call, self.forms(call, subject, options, progress), subject, _try)
        key = key_of(call.args, call.kwargs)
        assert key is not None  # _checked has looked
        assert found.engine is not None  # it was made here
        stand_in_(draft, StandIn(type(draft).forward, found.engine, draft, key, call.outputs))
        note = f"{found.engine.label}, {found.word}"
        if call.calibration and found.word != "dynamic":
            note += ", scaled by the calibration inputs"
        facts = {"word": found.word, "calibrated": bool(call.calibration), **self.facts(subject)}
        return Change(draft, note, facts)

    def facts(self, subject: Subject) -> dict[str, Any]:
        """What else `source` needs to know of the model."""
        return {}


def _calibrated(
    call: ForwardCall, draft: nn.Module, subject: Subject, calibration: Calibration, progress: Progress
) -> ForwardCall:
    """`call` with the tensors that the draft's `forward` gets for the calibration inputs. Raises `InvalidInputs`."""
    workloads, found = calibration.workloads(subject.workload, progress), []
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


def _fastest(
    call: ForwardCall, forms: list[Form], subject: Subject, look: Callable[[ForwardCall, Form], _Tried]
) -> _Tried:
    """The fastest form among those that answer closely enough, or else the most exact one."""
    found = []
    for form in forms:
        subject.progress.check()
        found.append(look(call, form))
    close = max(_CLOSE, subject.max_drop.allowed(1.0) / 10)
    good = [each for each in found if each.drop <= close]
    return min(good, key=lambda each: each.took_s) if good else min(found, key=lambda each: each.drop)


def _trial(call: ForwardCall, form: Form) -> _Tried:
    """How a form does, in another process where it can be."""
    if form.try_elsewhere is None:
        return _try(call, form)
    found = form.try_elsewhere()
    return _Tried(form.word, None, _drop(call, found.outputs), found.seconds)


def _try(call: ForwardCall, form: Form) -> _Tried:
    engine, tensors = form.make(), call.tensors
    drop = _drop(call, engine.run(tensors))
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        engine.run(tensors)
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


def _checked(call: ForwardCall) -> ForwardCall:
    """`call`, if an engine can take it. Raises `NotApplicable`."""
    if key_of(call.args, call.kwargs) is None:
        raise NotApplicable("its inputs are not all plain values and dense tensors on the CPU")
    if not call.tensors:
        raise NotApplicable("it takes no tensor as an input")
    if any(tensor.dtype in (torch.bfloat16, torch.complex64, torch.complex128) for tensor in call.tensors):
        raise NotApplicable("its inputs are of a type that engines do not take")
    leaves = [leaf for _, leaf in tree.leaves(call.outputs)]
    if not all(isinstance(leaf, torch.Tensor | type(None)) for leaf in leaves):
        odd = next(type(leaf).__name__ for leaf in leaves if not isinstance(leaf, torch.Tensor | type(None)))
        raise NotApplicable(f"it returns a {odd}, and engines return tensors only")
    return call


def _obstacle(subject: Subject) -> str | None:
    """Why no engine can take the model, or None."""
    workload = subject.workload
    floating = any(parameter.is_floating_point() for parameter in subject.model.parameters())
    hooked = next((path for path, module in subject.modules.items() if path and _has_hooks(module)), None)
    reasons = {
        "it was called in train mode, and engines compute no gradients: call `model.eval()` first": subject.training,
        "this engine runs on the CPU here, and the model is elsewhere": workload.device.type != "cpu",
        "it runs under autocast, which engines do not know": bool(workload.mode.autocast),
        "its forward writes to its inputs, or they are objects with a state": workload.mutates_inputs,
        "its forward was replaced on the object itself": "forward" in subject.model.__dict__,
        "its layers are int8 already, in a form of PyTorch's own: undo that first": any(
            hasattr(module, "packed_bytes") for module in subject.modules.values()
        ),
        "its weights are not all float32: undo that first": floating
        and floating_dtype(subject.model) != torch.float32,
        f"`{hooked}` has a hook, which an engine would not call": hooked is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


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
