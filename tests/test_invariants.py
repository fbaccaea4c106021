"""What holds for every model and every technique: measuring leaves no trace, and every change can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from tests.zoo import (
    ENTRIES,
    Entry,
    check_same,
    fingerprint,
    named,
    outputs_equal,
    peek,
    rng_fingerprint,
    structure,
)
from tests.zoo.timings import short_timings

COMPILED = ("mlp", "digits-cnn", "namedtuple-output")
"""A compilation takes ten seconds and more, so what compiles runs on these alone."""
COMPILING: dict[str, dict[str, Any]] = {"compile": {}, "int8-dynamic": {"backend": "torchao"}}
"""Techniques that compile, with these options."""
OPTIONS: dict[str, dict[str, Any]] = {"int8-dynamic": {"backend": "torch.ao"}}
"""Options that keep a technique from compiling."""
TECHNIQUES = tuple(each.name for each in jo.techniques() if each.name != "compile")


@dataclass(repr=False)
class Subject:
    """A model of the zoo that was measured; `before` and `measured` are its fingerprints around that."""

    entry: Entry
    model: nn.Module
    given: Any
    """The inputs that were given to `optimize`."""
    inputs: Any
    expected: Any
    before: dict[str, Any]
    random_state: dict[str, str]
    random_after: dict[str, str] = field(default_factory=dict)
    session: Any = None
    measured: dict[str, Any] = field(default_factory=dict)
    refused: Exception | None = None
    drew: list[str] = field(default_factory=list)
    """Techniques that moved the user's random state when they were applied and undone."""

    @classmethod
    def of(cls, entry: Entry) -> Subject:
        twin, inputs = entry.build()
        model, given = entry.build()
        subject = cls(
            entry,
            model,
            given,
            inputs,
            peek(twin, inputs),
            fingerprint(model),
            random_state=rng_fingerprint(),
        )
        try:
            subject.session = jo.optimize(model, given)
        except Exception as error:  # noqa: BLE001 (the first test of this model says so, and the others need not)
            subject.refused = error
        subject.measured, subject.random_after = fingerprint(model), rng_fingerprint()
        return subject

    @property
    def spoilt(self) -> bool:
        return bool(self.session and self.session.history and fingerprint(self.model) != self.measured)

    def check_unchanged(self) -> None:
        """The model is what it was when it had been measured, to the object and to the bit."""
        check_same(self.measured, fingerprint(self.model))
        if "one-shot" not in self.entry.tags:
            assert outputs_equal(peek(self.model, self.inputs), self.expected)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with short_timings(engines=True):
        yield


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def box(request: pytest.FixtureRequest) -> list[Subject]:
    """One subject for all tests of a model, in a box, so that a test that spoilt it can be followed by others."""
    return [Subject.of(request.param)]


@pytest.fixture
def measured(box: list[Subject]) -> Subject:
    """A model of the zoo after `optimize`, which may have refused it."""
    if box[0].spoilt:
        box[0] = Subject.of(box[0].entry)
    return box[0]


@pytest.fixture
def subject(measured: Subject) -> Subject:
    """A model of the zoo with its session."""
    if measured.refused is not None:
        pytest.skip("optimize refused it: see test_measuring_leaves_no_trace")
    return measured


def descriptor(name: str) -> Any:
    """The technique of that name."""
    return next(each for each in jo.techniques() if each.name == name)


def test_measuring_leaves_no_trace(measured: Subject) -> None:
    if measured.refused is not None:
        raise measured.refused
    check_same(measured.before, measured.measured)
    assert measured.session.model is measured.model
    assert outputs_equal(measured.given, measured.inputs)
    measured.check_unchanged()


def test_measuring_leaves_random_numbers_as_they_are(measured: Subject) -> None:
    assert measured.random_state == measured.random_after


def test_report_has_the_figures(subject: Subject) -> None:
    report = subject.session.report

    assert "" in [row.path for row in report.modules]
    latency = report.latency
    if report.workload.replayed:
        assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.repeats > 0
    else:
        assert report.workload.reason
        assert latency.median_ms is None or 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.median_ms is not None or latency.reason
    assert report.workload.training == subject.entry.training
    assert report.history == ()
    for row in report.modules:
        assert 0 <= row.self_ms <= row.total_ms * 1.001, row
    assert sum(op.share for op in report.ops) <= 1.001


def test_parameters_are_counted_once(subject: Subject) -> None:
    report = subject.session.report
    parameters = list(subject.model.parameters())

    assert report.memory.parameters == sum(each.numel() for each in parameters)
    assert report.memory.weights_bytes >= sum(
        {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in parameters}.values()
    )


def test_report_survives_json(subject: Subject) -> None:
    text = subject.session.report.to_json()

    again = jo.Report.from_json(text)

    assert again.to_json() == text
    assert len(text) <= 300_000


def test_models_that_refuse_a_second_call_are_not_replayed() -> None:
    subject = Subject.of(named("once-by-stream"))

    assert subject.refused is None, repr(subject.refused)
    assert not subject.session.report.workload.replayed
    assert "the stream has ended" in subject.session.report.workload.reason
    assert not any(each.assess(subject.session).applies for each in jo.techniques())


@pytest.mark.parametrize("name", ["script", "trace"])
def test_scripts_are_measured_and_say_why_they_are_not_changed(name: str) -> None:
    subject = Subject.of(named(name))

    assert subject.refused is None, repr(subject.refused)
    assert subject.session.report.latency.median_ms > 0
    for technique in jo.techniques():
        assessment = technique.assess(subject.session)
        assert not assessment.applies
        assert "ScriptModule" in assessment.reason


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_apply_and_undo(subject: Subject, technique: str) -> None:
    assessment = subject.session.assessments[technique]
    assert assessment.reason

    if assessment.applies:
        check_applied_and_undone(subject, technique, **OPTIONS.get(technique, {}))
    else:
        check_refused(subject, technique, assessment.reason)


def test_a_lazy_model_that_never_ran_is_measured_or_refused_in_words() -> None:
    # GIVEN a model whose weights have no shape yet
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU()).eval()
    before = fingerprint(model)

    # WHEN it is measured
    told = "initialised"
    try:
        jo.optimize(model, torch.randn(4, 5))
    except jo.OptimError as refusal:
        told = str(refusal)

    # THEN it is as before, also if the answer is a refusal
    assert "initiali" in told
    check_same(before, fingerprint(model))


def test_changes_left_random_numbers_as_they_were(subject: Subject) -> None:
    """Of the changes that the tests before this one made to the model."""
    assert subject.drew == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("technique", COMPILING)
@pytest.mark.parametrize("name", COMPILED)
def test_compile_and_undo(name: str, technique: str) -> None:
    subject = Subject.of(named(name))
    if not subject.session.assessments[technique].applies:
        pytest.skip(subject.session.assessments[technique].reason)

    check_applied_and_undone(subject, technique, **COMPILING[technique])


def check_refused(subject: Subject, technique: str, reason: str) -> None:
    """A technique that does not apply raises with its reason, and nothing has happened."""
    history = subject.session.history

    with pytest.raises(jo.NotApplicable) as caught:
        subject.session.apply(technique)

    assert reason in str(caught.value)
    assert subject.session.history == history
    subject.check_unchanged()


def check_applied_and_undone(subject: Subject, technique: str, **options: Any) -> None:
    """Applied against all odds, a technique changes nothing but numbers; undone, nothing at all."""
    session, model, random_before = subject.session, subject.model, rng_fingerprint()
    held, steps = dict(model.named_modules()), len(session.history)

    # WHEN it is applied
    step = session.apply(technique, keep="always", **options)

    # THEN the history has it
    assert session.history[steps:] == (step,)
    assert step.technique == technique
    if step.verdict == "failed":
        assert step.reason
        assert not step.accepted
        subject.check_unchanged()
        pytest.xfail(f"applies, but failed: {step.reason}")

    # AND the caller of the model notices nothing but other numbers
    assert step.accepted
    assert not step.undone
    assert 0 < step.speedup.low <= step.speedup.median <= step.speedup.high
    assert session.model is model
    check_same_objects(model, held, renumbered=technique == "prune-depth")
    assert structure(peek(model, subject.inputs)) == structure(subject.expected)
    check_held_layers_are_in_use(subject, held)
    compile(session.code(), "code", "exec")

    # AND undone, it is the model of before, to the object and to the bit
    undone = session.undo()
    assert undone is not None
    assert session.history[-1].undone
    subject.check_unchanged()
    if rng_fingerprint() != random_before:
        subject.drew.append(technique)


def check_same_objects(model: nn.Module, held: dict[str, nn.Module], *, renumbered: bool) -> None:
    """Whatever still has its name is still the object that the user may hold; or one of them, where blocks went."""
    if renumbered:
        assert set(model.modules()) <= set(held.values())
        return
    for name, module in model.named_modules():
        if name in held:
            assert module is held[name], name


def check_held_layers_are_in_use(subject: Subject, held: dict[str, nn.Module]) -> None:
    """A layer that the user holds since before answers as it does inside the model."""
    if subject.entry.tags & {"random", "stateful"}:
        return
    seen: list[tuple[nn.Module, tuple[Any, ...], Any]] = []

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and all(isinstance(each, torch.Tensor) for each in args) and isinstance(output, torch.Tensor):
            seen.append((module, tuple(each.clone() for each in args), output.clone()))

    leaves = [module for module in held.values() if not list(module.children()) and can_be_hooked(module)]
    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        peek(subject.model, subject.inputs)
    finally:
        for handle in handles:
            handle.remove()
    for module, args, output in seen[:3]:
        assert outputs_equal(module(*args), output)


def can_be_hooked(module: nn.Module) -> bool:
    """Whether the user has no hooks there that a second call would run twice."""
    return not (
        isinstance(module, torch.jit.ScriptModule) or module._forward_hooks or module._forward_pre_hooks
    )
