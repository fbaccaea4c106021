"""An `evaluate` that fails, or does what it should not: nothing is applied, and nothing is left behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from tests.zoo import rng_fingerprint
from tests.zoo.watched import HARMLESS, Watched, rogues_registered


@pytest.fixture(autouse=True)
def _rogue_techniques(tmp_path: Path) -> Iterator[None]:
    with rogues_registered(tmp_path):
        yield


def raises_runtime_error(model: nn.Module, inputs: Any) -> Any:
    raise RuntimeError("no data")


def raises_memory_error(model: nn.Module, inputs: Any) -> Any:
    raise MemoryError("no room")


def raises_after_a_hook(model: nn.Module, inputs: Any) -> Any:
    model.register_forward_hook(lambda *_: None)
    model(inputs)
    raise ValueError("after the hook")


def answers_nan(model: nn.Module, inputs: Any) -> Any:
    return model(inputs).sum().item() * float("nan")


def answers_infinity(model: nn.Module, inputs: Any) -> Any:
    model(inputs)
    return float("inf")


def answers_text(model: nn.Module, inputs: Any) -> Any:
    model(inputs)
    return "98%"


def answers_nothing(model: nn.Module, inputs: Any) -> Any:
    model(inputs)


def answers_many(model: nn.Module, inputs: Any) -> Any:
    return model(inputs)[0]


BAD_EVALUATES = (
    raises_runtime_error, raises_memory_error, raises_after_a_hook, answers_nan, answers_infinity, answers_text,
    answers_nothing, answers_many,
)  # fmt: skip
each_bad_evaluate = pytest.mark.parametrize("bad", BAD_EVALUATES, ids=lambda each: each.__name__)


def evaluate_failure(watched: Watched, evaluate: Callable[[nn.Module], Any]) -> str:
    """What is said of an `evaluate` that fails, at the first measurement or in a step."""
    try:
        step = watched.measure(evaluate=evaluate).session.apply(HARMLESS, keep="always")
    except jo.EvaluateFailed as error:
        return str(error)
    assert step.verdict == "failed"
    assert not step.accepted
    return str(step.reason)


@each_bad_evaluate
def test_an_evaluate_that_fails_at_once(bad: Callable[[nn.Module, Any], Any]) -> None:
    watched = Watched.of("mlp")

    told = evaluate_failure(watched, lambda model: bad(model, watched.inputs))

    assert "evaluate" in told
    watched.check_unchanged()


@each_bad_evaluate
def test_an_evaluate_that_fails_on_the_draft(bad: Callable[[nn.Module, Any], Any]) -> None:
    watched = Watched.of("mlp")

    def evaluate(model: nn.Module) -> Any:
        return model(watched.inputs).mean() if model is watched.model else bad(model, watched.inputs)

    told = evaluate_failure(watched, evaluate)

    assert "evaluate" in told
    watched.check_unchanged()


def test_an_evaluate_that_uses_a_global_model_is_told_so() -> None:
    watched = Watched.of("mlp")

    told = evaluate_failure(watched, lambda _: watched.model(watched.inputs).mean())

    assert "never called the model" in told
    watched.check_unchanged()


def test_an_evaluate_that_is_interrupted() -> None:
    watched, calls = Watched.of("mlp"), []

    def evaluate(model: nn.Module) -> Any:
        calls.append(model)
        if model is not watched.model:
            signal.raise_signal(signal.SIGINT)
        return model(watched.inputs).mean()

    watched.measure(evaluate=evaluate)
    with pytest.raises(KeyboardInterrupt):
        watched.session.apply(HARMLESS, keep="always")

    assert len(calls) == 2
    watched.check_unchanged()


def test_an_evaluate_that_leaves_its_mode_and_seed_behind() -> None:
    # GIVEN an evaluate as many write it, and a model in train mode
    watched = Watched.of("mlp-training")

    def evaluate(model: nn.Module) -> float:
        torch.manual_seed(3)
        torch.set_grad_enabled(False)
        model.eval()
        return float(model(watched.inputs).std())

    # WHEN it judges a change, which is undone
    random_state = rng_fingerprint()
    watched.measure(evaluate=evaluate)
    step = watched.session.apply(HARMLESS, keep="always")
    assert step.accepted
    assert step.quality.metric == "evaluate"
    assert all(module.training for module in watched.model.modules())
    watched.session.undo()

    # THEN mode, seed and grad mode are the user's
    watched.check_unchanged()
    assert rng_fingerprint() == random_state


def test_an_evaluate_that_writes_weights_cannot_spoil_the_live_model() -> None:
    watched = Watched.of("mlp")

    def evaluate(model: nn.Module) -> float:
        if model is not watched.model:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1)
        return float(model(watched.inputs).std())

    watched.measure(evaluate=evaluate)
    try:
        step = watched.session.apply("rogue-gives-up", keep="always", after=100_000)
    except jo.EvaluateFailed:
        pass
    else:
        assert not step.accepted

    watched.check_unchanged(but=("versions",))
