"""Faults in the middle of everything: the model is what it was, to the object and to the bit."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques import graft
from tests.zoo import check_same, fingerprint, outputs_equal, peek, rng_fingerprint
from tests.zoo.rogues import ERRORS, Fuse
from tests.zoo.watched import HARMLESS, Watched, rogues_registered, suffer


@pytest.fixture(autouse=True)
def _rogue_techniques(tmp_path: Path) -> Iterator[None]:
    with rogues_registered(tmp_path):
        yield


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("depth", [0, 1, 2, 8])
@pytest.mark.parametrize("name", ["mlp", "digits-cnn", "lstm-language-model"])
def test_a_technique_that_raises_halfway(name: str, depth: int, error: str) -> None:
    suffer(Watched.of(name).measure(), error, "rogue-halfway", error=error, depth=depth)


def test_a_failed_step_says_what_happened() -> None:
    session = Watched.of("mlp").measure().session

    step = session.apply("rogue-halfway", depth=1)

    assert "stopped halfway" in step.reason
    assert session.undo() is None
    assert session.redo() is None


@pytest.mark.parametrize(
    "technique", ["rogue-halfway", "rogue-flags", "rogue-gives-up", "rogue-graft", HARMLESS]
)
def test_random_numbers_go_on_where_they_were(technique: str) -> None:
    session, random_state = Watched.of("mlp").measure().session, rng_fingerprint()

    session.apply(technique, keep="always")
    session.undo()

    assert rng_fingerprint() == random_state


def test_a_fault_after_an_accepted_step_leaves_that_step() -> None:
    # GIVEN a model that one technique has changed
    watched = Watched.of("mlp").measure()
    watched.session.apply(HARMLESS, keep="always")
    changed, answers = fingerprint(watched.model), peek(watched.model, watched.inputs)

    # WHEN the next one fails
    step = watched.session.apply("rogue-halfway", depth=1, keep="always")

    # THEN the first change stands, and can be undone
    assert step.verdict == "failed"
    check_same(changed, fingerprint(watched.model))
    assert outputs_equal(peek(watched.model, watched.inputs), answers)
    watched.session.undo()
    watched.check_unchanged()


@pytest.mark.parametrize("raises", [False, True])
def test_a_technique_that_writes_the_live_weights_is_refused(raises: bool) -> None:
    watched = Watched.of("mlp").measure()

    step = watched.session.apply("rogue-writes", keep="always", raises=raises)

    assert step.verdict == "failed"
    assert not step.accepted
    # the counters of writes tell of the write and of its repair
    watched.check_unchanged(but=("versions",))


def test_a_technique_may_write_weights_of_its_own() -> None:
    Watched.of("mlp").measure().check_usable()


@pytest.mark.parametrize("keep", ["if-better", "always"])
@pytest.mark.parametrize("what", ["shape", "dtype", "structure"])
def test_answers_of_another_form_are_never_kept(what: str, keep: str) -> None:
    watched = Watched.of("mlp").measure()

    step = watched.session.apply("rogue-answers", keep=keep, what=what)

    assert step.verdict in {"failed", "quality lost"}
    assert not step.accepted
    assert step.reason
    watched.check_unchanged()
    watched.check_usable()


def test_a_change_below_a_new_root_is_judged_too() -> None:
    watched = Watched.of("mlp").measure()

    step = watched.session.apply("rogue-wraps", keep="if-better")

    assert step.verdict == "quality lost"
    assert not step.accepted
    watched.check_unchanged()
    forced = watched.session.apply("rogue-wraps", keep="always")
    assert forced.accepted, forced.reason
    assert not peek(watched.model, watched.inputs).any()
    watched.session.undo()
    watched.check_unchanged()


@pytest.mark.parametrize("what", ["nan", "noise"])
def test_meaningless_answers_are_not_kept_unless_forced(what: str) -> None:
    watched = Watched.of("mlp").measure()

    step = watched.session.apply("rogue-answers", what=what)
    assert step.verdict in {"failed", "quality lost", "slower"}
    assert not step.accepted
    watched.check_unchanged()

    forced = watched.session.apply("rogue-answers", keep="always", what=what)
    if forced.accepted:
        assert not outputs_equal(peek(watched.model, watched.inputs), watched.expected)
        assert watched.session.undo() is not None
    watched.check_unchanged()


def test_no_meaningless_answer_is_called_faster() -> None:
    for what in ("nan", "noise"):
        step = Watched.of("mlp").measure().session.apply("rogue-answers", keep="always", what=what)
        assert step.verdict in {"failed", "quality lost"}
        if step.quality is not None:
            assert step.quality.drop > 0.5


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("part", [0.0, 0.2, 0.4, 0.6])
def test_a_draft_that_raises_while_it_is_timed_or_judged(part: float, error: str) -> None:
    # GIVEN how many calls a whole step makes
    watched = Watched.of("mlp").measure()
    watched.session.apply("rogue-gives-up", keep="always", after=100_000)
    calls = 100_000 - watched.model.fuse.left
    watched.session.undo()
    assert calls > 5

    # WHEN the draft raises after a part of them
    watched = Watched.of("mlp").measure()
    suffer(watched, error, "rogue-gives-up", error=error, after=int(part * calls))


class Fused(nn.Module):
    """A live model that raises when its fuse has burnt down."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 32), nn.Linear(32, 4)
        self.burn = fuse.burn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(x)
        self.burn()
        return self.fc2(hidden.relu())


def fused() -> tuple[Watched, Fuse]:
    """A watched model, and its fuse, long enough by now."""
    fuse = Fuse(100_000)
    model, inputs = Fused(fuse).eval(), torch.randn(8, 16)
    return Watched(model, inputs, peek(model, inputs), fingerprint(model)), fuse


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("after", [0, 1, 3, 8])
def test_a_live_model_that_raises_while_it_is_measured(after: int, error: str) -> None:
    # GIVEN a model that raises after some calls
    watched, fuse = fused()
    fuse.left, fuse.error = after, ERRORS[error]

    # WHEN it is measured
    try:
        session = jo.optimize(watched.model, watched.inputs)
    except (jo.OptimError, *ERRORS.values()) as raised:
        told: str | None = str(raised)
    else:
        assert error != "KeyboardInterrupt"
        assert not session.report.workload.replayed
        told = session.report.workload.reason

    # THEN that is said, the model is as before, and it can be measured once it works again
    assert "the fuse burnt down" in (told or "")
    fuse.left = 100_000
    watched.check_unchanged()
    assert jo.optimize(watched.model, watched.inputs).report.latency.median_ms > 0


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_live_model_that_raises_while_a_change_is_judged(after: int, error: str) -> None:
    watched, fuse = fused()
    watched.measure()
    fuse.left, fuse.error = after, ERRORS[error]

    if error == "KeyboardInterrupt":
        with pytest.raises(KeyboardInterrupt):
            watched.session.apply(HARMLESS, keep="always")
    else:
        step = watched.session.apply(HARMLESS, keep="always")
        assert step.verdict == "failed"
        assert "the fuse burnt down" in step.reason

    fuse.left = 100_000
    watched.check_unchanged()
    watched.check_usable()


def test_a_graft_that_the_interpreter_refuses() -> None:
    suffer(Watched.of("mlp").measure(), "TypeError", "rogue-graft")


def test_flags_of_a_technique_that_fails_do_not_stay() -> None:
    suffer(Watched.of("mlp").measure(), "RuntimeError", "rogue-flags")


class Sabotage:
    """Makes the exchange of one module's contents fail after a number of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, fault: Callable[[], None]) -> None:
        self.left, self.fault, self.really = after, fault, graft._become
        monkeypatch.setattr(graft, "_become", self)

    def __call__(self, *args: Any) -> None:
        self.left -= 1
        if self.left == -1:
            self.fault()
        self.really(*args)


def fault_of(error: str) -> Callable[[], None]:
    """Raises `error`; a KeyboardInterrupt comes as it does in life, by a signal."""
    if error == "KeyboardInterrupt":
        return lambda: signal.raise_signal(signal.SIGINT)
    return Fuse(0, ERRORS[error]).burn


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_graft_that_fails_halfway(monkeypatch: pytest.MonkeyPatch, after: int, error: str) -> None:
    watched = Watched.of("mlp").measure()
    Sabotage(monkeypatch, after, fault_of(error))

    suffer(watched, error, HARMLESS)


@pytest.mark.parametrize("error", ["RuntimeError", "MemoryError"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_undo_that_fails_halfway_can_be_done_again(
    monkeypatch: pytest.MonkeyPatch, after: int, error: str
) -> None:
    # GIVEN a changed model
    watched = Watched.of("mlp").measure()
    assert watched.session.apply(HARMLESS, keep="always").accepted
    changed, answers = fingerprint(watched.model), peek(watched.model, watched.inputs)

    # WHEN the undo fails on its way
    Sabotage(monkeypatch, after, fault_of(error))
    with pytest.raises((jo.OptimError, ERRORS[error])):
        watched.session.undo()

    # THEN the change stands as a whole, and the next undo takes it back
    check_same(changed, fingerprint(watched.model))
    assert outputs_equal(peek(watched.model, watched.inputs), answers)
    assert not watched.session.history[-1].undone
    assert watched.session.undo() is not None
    watched.check_unchanged()


@pytest.mark.parametrize("technique", ["int8-dynamic", "bf16", "prune-magnitude", "prune-structured"])
@pytest.mark.parametrize("error", ERRORS)
def test_our_techniques_when_the_graft_fails(
    monkeypatch: pytest.MonkeyPatch, technique: str, error: str
) -> None:
    watched = Watched.of("mlp").measure()
    Sabotage(monkeypatch, 2, fault_of(error))

    suffer(watched, error, technique, **({"backend": "torch.ao"} if technique == "int8-dynamic" else {}))
