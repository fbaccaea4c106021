"""Training after a technique that takes something out: on the draft alone, with Cancel, and nothing left behind."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks.digits import Digits, network
from tests.zoo import check_same, fingerprint
from tests.zoo.timings import short_timings

X = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 4, (16,), generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4)).eval()


def fit(candidate: nn.Module, steps: int = 5, optimizer: Any = torch.optim.AdamW) -> None:
    candidate.train()
    chosen = optimizer(candidate.parameters(), lr=1e-2)
    for _ in range(steps):
        chosen.zero_grad()
        nn.functional.cross_entropy(candidate(X), Y).backward()
        chosen.step()


def applied(live: nn.Module, train: Any, technique: str = "prune-magnitude", **options: Any) -> Any:
    return jo.optimize(live, X, train=train).apply(technique, keep="always", **options)


def test_the_draft_is_trained_and_the_live_model_takes_its_place_only_then() -> None:
    live, seen = model(), []

    def train(candidate: nn.Module) -> None:
        seen.append((candidate, torch.is_grad_enabled(), candidate.training))
        fit(candidate)

    expected = live(X)
    before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
    with torch.no_grad():
        session = jo.optimize(live, X, train=train)
        step = session.apply("prune-magnitude", keep="always", amount=0.25)

    assert step.accepted, step.reason
    assert "trained for" in step.note
    assert "trained for" in session.report.history[0].note
    (trained, grad, training) = seen[0]
    assert trained is not live
    assert (grad, training) == (True, False)
    # BatchNorm's statistics are trained, too, and they came along
    assert not torch.equal(live[1].running_mean, before["1.running_mean"])
    assert not torch.equal(live[3].bias, before["3.bias"])
    assert not any(module.training for module in live.modules())
    assert all(p.grad is None for p in live.parameters())
    assert "train(model)" in session.code()
    session.undo()
    assert torch.equal(live(X), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in live.state_dict().items())


def test_a_technique_that_loses_nothing_is_not_trained() -> None:
    step = applied(model(), lambda _: pytest.fail("called"), "bf16")
    assert step.accepted, step.reason


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad])
def test_zeros_stay_zero_while_they_are_trained_around(optimizer: Any) -> None:
    live, zeros = model(), []

    def train(candidate: nn.Module) -> None:
        def count(*_: Any) -> None:
            zeros.append(int((candidate[0].weight == 0).sum() + (candidate[3].weight == 0).sum()))

        candidate.register_forward_pre_hook(count)
        fit(candidate, optimizer=lambda p, lr: optimizer(p, lr=lr, weight_decay=0.1))
        # by hand, past every optimizer
        nn.functional.cross_entropy(candidate(X), Y).backward()
        with torch.no_grad():
            for parameter in candidate.parameters():
                parameter -= 0.1 * parameter.grad
        candidate(X)

    step = applied(live, train, amount=0.5)
    assert step.accepted, step.reason
    wanted = round(0.5 * (32 * 64 + 64 * 4))
    assert set(zeros) == {wanted}
    assert int((live[0].weight == 0).sum() + (live[3].weight == 0).sum()) == wanted


def test_a_frozen_model_is_trained_and_stays_frozen() -> None:
    live = model().requires_grad_(False)
    step = applied(live, fit)
    assert "trained for" in step.note, step.reason
    assert not any(p.requires_grad for p in live.parameters())


def _raises(candidate: nn.Module) -> None:
    fit(candidate)
    raise ValueError("the data is gone")


def _of_a_copy(candidate: nn.Module) -> None:
    import copy

    candidate(X)
    fit(copy.deepcopy(candidate))


LIVE: list[nn.Module] = []


def _of_the_global_one(candidate: nn.Module) -> None:
    LIVE[0].requires_grad_(True)
    fit(LIVE[0])
    LIVE[0](X).sum().backward()
    LIVE[0].extra = 1


@pytest.mark.parametrize(
    ("train", "why"),
    [
        (_raises, "train raised ValueError: the data is gone"),
        (_of_a_copy, "changed no weight"),
        (lambda candidate: candidate(X), "changed no weight"),
        (lambda candidate: None, "never called the model"),
        (_of_the_global_one, "wrote to the weights of the live model"),
        (
            lambda candidate: setattr(candidate, "0", nn.Linear(32, 64).requires_grad_(False)),
            "never called|exchanged",
        ),
    ],
    ids=["raises", "copy", "no-weights", "not-called", "global", "exchanged"],
)
def test_what_does_not_train_is_told_and_leaves_the_live_model_as_it_was(train: Any, why: str) -> None:
    live = model().requires_grad_(False)
    LIVE[:] = [live]
    session = jo.optimize(live, X, train=train)
    before = fingerprint(live)
    threads = torch.get_num_threads()
    step = session.apply("prune-magnitude", keep="always")
    assert (step.verdict, step.accepted) == ("failed", False)
    assert re.search(why, step.reason), step.reason
    # what was written was put back, and that is another write
    check_same(before, fingerprint(live), but=("versions",))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("swallows", [False, True])
def test_cancel_takes_effect_within_the_users_own_loop(swallows: bool) -> None:
    live, news = model(), []
    started = threading.Event()

    def train(candidate: nn.Module) -> None:
        candidate.train()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            started.set()
            try:
                fit(candidate, steps=1)
            except jo.Cancelled:
                if not swallows:
                    raise
                return

    session = jo.optimize(live, X, train=train)
    session.listen(lambda text, _: news.append(text))
    before, ended = fingerprint(live), []

    def work() -> None:
        with pytest.raises(jo.Cancelled):
            session.apply("prune-magnitude", keep="always")
        ended.append(time.monotonic())

    worker = threading.Thread(target=work)
    worker.start()
    assert started.wait(60)
    time.sleep(0.6)
    model()(X)  # a cell that the user runs meanwhile
    asked = time.monotonic()
    session.cancel()
    model()(X)
    worker.join(30)
    assert ended[0] - asked < 1
    assert any("training the draft" in text and "steps in" in text for text in news)
    assert session.history == ()
    check_same(before, fingerprint(live))


def test_without_it_the_reason_says_that_training_would_be_needed_and_how_to_give_it() -> None:
    step = jo.optimize(model(), X, max_drop=1e-6).apply("prune-magnitude", amount=0.9)
    assert step.verdict == "quality lost"
    assert "train=fn" in step.reason
    assert "--train NAME" in step.reason
    trained = jo.optimize(model(), X, max_drop=1e-6, train=fit).apply("prune-magnitude", amount=0.9)
    assert trained.verdict == "quality lost"
    assert "train=fn" not in trained.reason


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(jo.InvalidOption, match="train must be a function of the model"):
        jo.optimize(model(), X, train=3)  # type: ignore[arg-type]


def test_digits_get_their_accuracy_back_with_a_tenth_of_the_weights() -> None:
    digits = Digits.load()
    torch.manual_seed(0)
    live = network()
    digits.train(live, epochs=4)
    before, weights = digits.accuracy(live), sum(p.numel() for p in live.parameters())

    def train(candidate: nn.Module) -> None:
        torch.manual_seed(1)
        digits.train(candidate, epochs=6, rate=5e-3)

    with torch.inference_mode():
        session = jo.optimize(
            live, digits.test_images[:64], evaluate=digits.accuracy, train=train, max_drop=0.02
        )
        step = session.apply("prune-structured", keep="always", ratio=0.75)
    assert sum(p.numel() for p in live.parameters()) <= 0.1 * weights
    assert step.quality.after == pytest.approx(digits.accuracy(live))
    assert before - step.quality.after <= 0.02, step.reason
