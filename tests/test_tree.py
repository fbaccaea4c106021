"""Nested values are walked and rebuilt in their own types."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence
from transformers.modeling_outputs import BaseModelOutput
from transformers.tokenization_utils_base import BatchEncoding

from jupyter_optim import tree


class Pair(NamedTuple):
    a: torch.Tensor
    b: int


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    label: str


def values() -> list[object]:
    one = torch.ones(2)
    return [
        one,
        (one, [one, None], {"k": one}),
        Pair(one, 3),
        Frozen(one, "text"),
        OrderedDict(a=one),
        BaseModelOutput(last_hidden_state=one),
        BatchEncoding({"input_ids": one}),
        pack_sequence([torch.ones(3, 2), torch.ones(1, 2)]),
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_map_keeps_types_and_leaves_the_original_alone(value: object) -> None:
    doubled = tree.map_tensors(value, lambda t: t * 2 if t.is_floating_point() else t)

    assert type(doubled) is type(value)
    assert [n for n, _ in tree.leaves(doubled)] == [n for n, _ in tree.leaves(value)]
    for before, after in zip(tree.tensors(value), tree.tensors(doubled), strict=True):
        expected = before * 2 if before.is_floating_point() else before
        assert torch.equal(after, expected)
        assert not before.is_floating_point() or float(before.flatten()[0]) == 1.0


def test_a_model_output_keeps_item_and_attribute_in_step() -> None:
    output = tree.map_tensors(BaseModelOutput(last_hidden_state=torch.ones(2)), lambda t: t + 1)

    assert torch.equal(output.last_hidden_state, output["last_hidden_state"])
    assert torch.equal(output[0], torch.full((2,), 2.0))


def test_clone_shares_no_memory_and_keeps_requires_grad() -> None:
    value = {"x": torch.ones(2, requires_grad=True), "w": torch.nn.Parameter(torch.ones(1))}

    copied = tree.clone(value)

    assert copied["x"].data_ptr() != value["x"].data_ptr()
    assert copied["x"].requires_grad
    assert copied["w"] is value["w"]


def test_clone_copies_objects_that_hold_tensors_with_a_graph() -> None:
    class Cache:
        def __init__(self) -> None:
            self.kept = [torch.ones(1)]

    cache, grown = Cache(), torch.ones(2, requires_grad=True) * 2

    copied, other = tree.clone((cache, grown))

    assert copied is not cache
    assert copied.kept[0] is not cache.kept[0]
    assert torch.equal(other, grown)
