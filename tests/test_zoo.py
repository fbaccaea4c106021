"""The zoo itself: its models build, run, and are the same at each build."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from tests.zoo import (
    ENTRIES,
    Entry,
    call,
    check_same,
    fingerprint,
    named,
    outputs_equal,
    peek,
    rng_fingerprint,
    structure,
)

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def test_is_large_and_its_names_are_unique() -> None:
    names = [entry.name for entry in ENTRIES]

    assert len(names) >= 30
    assert len(set(names)) == len(names)


@each_entry
def test_two_builds_answer_alike(entry: Entry) -> None:
    # GIVEN two builds, with random numbers drawn between them
    before = rng_fingerprint()
    first, first_inputs = entry.build()
    assert rng_fingerprint() == before
    torch.rand(7)
    second, second_inputs = entry.build()

    # WHEN both are called
    first_output, second_output = call(first, first_inputs), call(second, second_inputs)

    # THEN they are different objects that answer the same to the bit
    assert first is not second
    assert first.training == entry.training
    assert outputs_equal(first_output, second_output)
    assert structure(first_output) == structure(second_output)


@each_entry
def test_peeking_changes_nothing(entry: Entry) -> None:
    model, inputs = entry.build()
    before, random_state = fingerprint(model), rng_fingerprint()

    peek(model, inputs)

    check_same(before, fingerprint(model))
    assert rng_fingerprint() == random_state


def test_stateful_models_are_tagged() -> None:
    # GIVEN the models that say they leave no trace of a call
    for entry in ENTRIES:
        if entry.tags & {"stateful", "one-shot"}:
            continue
        model, inputs = entry.build()
        before = fingerprint(model)["state_dict"]

        # WHEN one is called
        call(model, inputs)

        # THEN its state is as before
        assert fingerprint(model)["state_dict"] == before, entry.name


def _changed(model: nn.Module, change: str) -> None:
    layer: Any = model[0]
    match change:
        case "weight":
            with torch.no_grad():
                layer.weight[0, 0] += 1e-6
        case "written back":
            with torch.no_grad():
                layer.weight.mul_(1.0)
        case "other object":
            model[0] = nn.Linear(64, 256)
        case "same content":
            layer.weight = nn.Parameter(layer.weight.detach().clone())
        case "hook":
            layer.register_forward_hook(lambda *_: None)
        case "flag":
            layer.train()
        case "frozen":
            layer.weight.requires_grad_(False)
        case "gradient":
            layer.weight.grad = torch.zeros_like(layer.weight)
        case "attribute":
            layer.note = "touched"


@pytest.mark.parametrize(
    "change",
    [
        "weight",
        "written back",
        "other object",
        "same content",
        "hook",
        "flag",
        "frozen",
        "gradient",
        "attribute",
    ],
)
def test_fingerprint_sees(change: str) -> None:
    model, _ = named("mlp").build()
    before = fingerprint(model)
    assert fingerprint(model) == before

    _changed(model, change)

    assert fingerprint(model) != before


@dataclasses.dataclass
class _Answer:
    tensor: torch.Tensor
    label: str = "a"


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor([0.0]), torch.tensor([-0.0]), False),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), False),
        (torch.zeros(2), torch.zeros(2, 1), False),
        ((torch.zeros(2), None), (torch.zeros(2), None), True),
        ((torch.zeros(2), None), [torch.zeros(2), None], False),
        ({"a": torch.ones(1), "b": 2}, {"a": torch.ones(1), "b": 2}, True),
        ({"a": torch.ones(1), "b": 2}, {"b": 2, "a": torch.ones(1)}, False),
        (_Answer(torch.ones(1)), _Answer(torch.ones(1)), True),
        (_Answer(torch.ones(1)), _Answer(torch.ones(1), "b"), False),
        (torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.0, 1.0), True),
        (torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.0, 2.0), False),
    ],
)
def test_outputs_equal(a: Any, b: Any, equal: bool) -> None:
    assert outputs_equal(a, b) is equal
