"""Hundreds of changes at random, to and fro: nothing grows, nothing is lost, and the way back is exact."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from tests.zoo import check_same, fingerprint, named, outputs_equal, peek, rng_fingerprint
from tests.zoo.timings import short_timings

STEPS = 200
WARM_UP = 60
TECHNIQUES: dict[str, dict[str, Any]] = {
    "int8-dynamic": {"backend": "torch.ao"},  # the other one compiles, which takes its time
    "bf16": {},
    "fp16": {},
    "channels-last": {},
    "prune-magnitude": {"amount": 0.3},
    "prune-structured": {"ratio": 0.2},
}
ACTIONS = ("apply",) * 6 + ("undo",) * 4 + ("redo",) * 3 + ("reset",)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


@dataclass
class Walk:
    """A session, and beside it what its history and its model's answers have to be."""

    model: nn.Module
    inputs: Any
    session: Any
    choice: random.Random
    applied: list[int] = field(default_factory=list)
    """Numbers in the history of the steps that stand, in order."""
    redoable: list[int] = field(default_factory=list)
    """Numbers of the steps that redo brings back, the next one last."""
    undone: set[int] = field(default_factory=set)
    answers: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def apply(self) -> None:
        technique, keep = (
            self.choice.choice(list(TECHNIQUES)),
            self.choice.choice(["if-better", "always", "always"]),
        )
        number = len(self.session.history)
        try:
            step = self.session.apply(technique, keep=keep, **TECHNIQUES[technique])
        except jo.NotApplicable:
            assert len(self.session.history) == number
            return
        assert len(self.session.history) == number + 1
        if step.accepted:
            self.applied.append(number)
            self.redoable.clear()
        else:
            assert keep == "if-better" or step.verdict == "failed"

    def undo(self) -> None:
        undone = self.session.undo()
        assert (undone is None) == (not self.applied)
        if self.applied:
            self.redoable.append(self.applied.pop())
            self.undone.add(self.redoable[-1])

    def redo(self) -> None:
        redone = self.session.redo()
        assert (redone is None) == (not self.redoable)
        if self.redoable:
            self.applied.append(self.redoable.pop())
            self.undone.remove(self.applied[-1])

    def reset(self) -> None:
        first = self.session.reset()
        assert (first is None) == (not self.applied)
        self.redoable += reversed(self.applied)
        self.undone.update(self.applied)
        self.applied = []

    def check(self) -> None:
        """History and answers are those that the way so far asks for."""
        history = self.session.history
        assert [n for n, step in enumerate(history) if step.accepted and not step.undone] == self.applied
        assert {n for n, step in enumerate(history) if step.undone} == self.undone
        answers, state = peek(self.model, self.inputs), tuple(self.applied)
        assert outputs_equal(answers, self.answers.setdefault(state, answers))

    def forget(self) -> None:
        """Back to the start, with nothing left that could be done again."""
        self.session.reset()
        while not self.session.apply("prune-magnitude", keep="always").accepted:
            pytest.fail("prune-magnitude does not apply")
        self.session.undo()
        self.redoable, self.applied = [len(self.session.history) - 1], []
        self.undone = {n for n, step in enumerate(self.session.history) if step.accepted}
        self.answers = {state: answers for state, answers in self.answers.items() if not state}


def live_tensors() -> int:
    """How many tensors there are in this process."""
    gc.collect()
    return sum(1 for each in gc.get_objects() if issubclass(type(each), torch.Tensor))


@pytest.mark.parametrize("name", ["mlp", "digits-cnn"])
def test_a_random_walk_ends_where_it_began(name: str) -> None:
    # GIVEN a measured model
    model, inputs = named(name).build()
    before, random_state, expected = fingerprint(model), rng_fingerprint(), peek(model, inputs)
    walk = Walk(model, inputs, jo.optimize(model, inputs), random.Random(20260))
    process = psutil.Process()
    tensors_before = rss_before = 0

    # WHEN it goes to and fro
    for number in range(STEPS):
        getattr(walk, walk.choice.choice(ACTIONS))()
        walk.check()
        if number == WARM_UP:
            walk.forget()
            tensors_before, rss_before = live_tensors(), process.memory_info().rss
    walk.forget()

    # THEN it is back at its start, and nothing has grown
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)
    assert live_tensors() <= tensors_before
    assert process.memory_info().rss < rss_before + 200e6
    assert sum(step.accepted for step in walk.session.history) > 20
    assert rng_fingerprint() == random_state
