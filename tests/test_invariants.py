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
    differences,
    fingerprint,
    named,
    outputs_equal,
    peek,
    rng_fingerprint,
    structure,
)
from tests.zoo.timings import short_timings

COMPILED = ("mlp", "digits-cnn", "namedtuple-output")
"""A compilation takes ten seconds and more, so `compile` runs on these alone."""
TECHNIQUES = tuple(each.name for each in jo.techniques() if each.name != "compile")


@dataclass
class Subject:
    """A model of the zoo that was measured, and what it was before."""

    entry: Entry
    model: nn.Module = field(init=False)
    inputs: Any = field(init=False)
    session: Any = field(init=False)
    expected: Any = field(init=False)
    before: dict[str, Any] = field(init=False)
    random_state: tuple[dict[str, str], dict[str, str]] = field(init=False)
    measured: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        twin, twin_inputs = self.entry.build()
        self.expected = peek(twin, twin_inputs)
        self.model, self.inputs = self.entry.build()
        self.before, random_before = fingerprint(self.model), rng_fingerprint()
        self.session = jo.optimize(self.model, self.inputs)
        self.measured, self.random_state = fingerprint(self.model), (random_before, rng_fingerprint())

    @property
    def repeatable(self) -> bool:
        return "one-shot" not in self.entry.tags

    def check_unchanged(self) -> None:
        """The model is what it was, to the object and to the bit."""
        assert not differences(self.before, fingerprint(self.model))
        if self.repeatable:
            assert outputs_equal(peek(self.model, self.inputs), self.expected)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def shared(request: pytest.FixtureRequest) -> list[Subject]:
    """One subject for all tests of a model, in a box, so that a test that spoilt it can be followed by others."""
    return [Subject(request.param)]


@pytest.fixture
def subject(shared: list[Subject]) -> Subject:
    if shared[0].session.history and fingerprint(shared[0].model) != shared[0].before:
        shared[0] = Subject(shared[0].entry)
    return shared[0]


def descriptor(name: str) -> Any:
    """The technique of that name."""
    return next(each for each in jo.techniques() if each.name == name)


def test_measuring_leaves_no_trace(subject: Subject) -> None:
    assert not differences(subject.before, subject.measured)
    assert subject.random_state[0] == subject.random_state[1]
    subject.check_unchanged()


def test_report_has_the_figures(subject: Subject) -> None:
    report = subject.session.report

    assert subject.session.model is subject.model
    assert report.modules[0].path == "" or "" in [row.path for row in report.modules]
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
    subject = Subject(named("once-by-stream"))

    assert not subject.session.report.workload.replayed
    assert "the stream has ended" in subject.session.report.workload.reason
    assert not any(each.assess(subject.session).applies for each in jo.techniques())
    assert not differences(subject.before, subject.measured)


@pytest.mark.parametrize("name", ["script", "trace"])
def test_scripts_are_measured_and_say_why_they_are_not_changed(name: str) -> None:
    subject = Subject(named(name))

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
        check_applied_and_undone(subject, technique)
    else:
        check_refused(subject, technique, assessment.reason)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", COMPILED)
def test_compile_and_undo(name: str) -> None:
    subject = Subject(named(name))
    if not subject.session.assessments["compile"].applies:
        pytest.skip(subject.session.assessments["compile"].reason)

    check_applied_and_undone(subject, "compile")


def check_refused(subject: Subject, technique: str, reason: str) -> None:
    """A technique that does not apply raises with its reason, and nothing has happened."""
    history = subject.session.history

    with pytest.raises(jo.NotApplicable) as caught:
        subject.session.apply(technique)

    assert reason in str(caught.value)
    assert subject.session.history == history
    subject.check_unchanged()


def check_applied_and_undone(subject: Subject, technique: str) -> None:
    """Applied against all odds, a technique changes nothing but numbers; undone, nothing at all."""
    session, model, random_before = subject.session, subject.model, rng_fingerprint()
    held, steps = dict(model.named_modules()), len(session.history)

    # WHEN it is applied
    step = session.apply(technique, keep="always")

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
    check_same_objects(model, held)
    assert structure(peek(model, subject.inputs)) == structure(subject.expected)
    check_held_layers_are_in_use(subject, held)
    compile(session.code(), "code", "exec")

    # AND undone, it is the model of before, to the object and to the bit
    undone = session.undo()
    assert undone is not None
    assert session.history[-1].undone
    subject.check_unchanged()

    # AND the user's random numbers go on where they were
    assert rng_fingerprint() == random_before


def check_same_objects(model: nn.Module, held: dict[str, nn.Module]) -> None:
    """Whatever still has its name is still the object that the user may hold."""
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
