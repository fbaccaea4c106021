"""Weights packed in 8 or 4 bits: exactness, size, tied layers, stacking; on a real model too."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from jupyter_optim.profiling.memory.of_model import weights_bytes
from jupyter_optim.techniques.packed_layers import (
    PackedEmbedding,
    PackedEmbeddingBag,
    PackedLinear,
    PackedWeight,
    grouped,
    int4_codes,
)
from tests.techniques.test_techniques import FLAT, IDS, Words, mlp, words
from tests.zoo.timings import short_timings


def applied(model: nn.Module, x: Any, *names: tuple[str, dict[str, Any]]) -> tuple[Any, list[Any]]:
    with short_timings(), torch.no_grad():
        session = jo.optimize(model, x)
        return session, [session.apply(name, keep="always", **options) for name, options in names]


@pytest.mark.parametrize(("bits", "group", "levels"), [(8, 0, 127), (8, 32, 127), (4, 0, 7.5), (4, 32, 7.5)])
@pytest.mark.parametrize("shape", [(64, 96), (7, 33), (5, 1), (3, 2)])
def test_no_weight_is_further_off_than_half_a_level(
    bits: int, group: int, levels: float, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape)
    packed = PackedWeight(weight, bits, group, steps=1)
    error = (packed.weight - weight).abs()
    assert packed.weight.shape == shape
    # half a level, and what bfloat16 rounds off the scale and the lowest value of 4 bits
    slack = 0.5 if bits == 8 else 0.6
    assert float((error / weight.abs().amax()).max()) <= slack / levels + 1e-6


def test_4_bits_take_5_bits_with_their_scales() -> None:
    linear = nn.Linear(256, 128, bias=False)
    assert weights_bytes(PackedLinear(linear, 4, 32)) * 8 == 5 * 256 * 128
    assert weights_bytes(PackedLinear(linear, 4, 128)) * 8 == 4.25 * 256 * 128


def test_narrowing_the_range_lowers_the_error_that_it_is_chosen_by() -> None:
    torch.manual_seed(0)
    weight, importance = torch.randn(64, 128), torch.rand(128) ** 4
    errors = {}
    for name, weighted, steps in (("range", None, 1), ("searched", None, 12), ("weighted", importance, 12)):
        packed = PackedWeight(weight, 4, 128, weighted, steps)
        errors[name] = float(((packed.weight - weight).square() * importance).sum())
    assert errors["weighted"] < errors["searched"] < errors["range"]


def test_the_codes_of_a_constant_group_are_exact() -> None:
    packed, scales, lows = int4_codes(grouped(torch.full((2, 32), 0.5), 32))
    assert packed.max() == 0
    assert float(lows.max()) == 0.5
    assert torch.isfinite(scales).all()


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("compute", [None, torch.bfloat16])
@pytest.mark.parametrize(("outputs", "inputs"), [(64, 96), (5, 37)])
def test_a_packed_linear_multiplies_with_its_own_weights(
    rows: int, compute: torch.dtype | None, outputs: int, inputs: int
) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(inputs, outputs), torch.randn(rows, 2, inputs)
    for bits in (8, 4):
        packed = PackedLinear(linear, bits, 0 if bits == 8 else 32, compute=compute)
        expected = nn.functional.linear(x, packed.weight, linear.bias)
        with torch.no_grad():
            got = packed(x)
        assert got.dtype is torch.float32
        assert torch.allclose(got, expected, atol=1e-5 if compute is None else 0.03)
        assert packed(x[0, 0]).shape == (outputs,)
        assert packed(x[:0]).shape == (0, 2, outputs)


def test_gradients_reach_the_inputs() -> None:
    x = torch.randn(2, 64, requires_grad=True)
    packed = PackedLinear(nn.Linear(64, 32), compute=torch.bfloat16)
    packed(x).sum().backward()
    assert torch.allclose(x.grad, packed.weight.sum(0).expand(2, -1), atol=0.05)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
def test_a_packed_bag_answers_as_the_bag(mode: str, padding: int | None) -> None:
    torch.manual_seed(0)
    bag = nn.EmbeddingBag(20, 16, mode=mode, padding_idx=padding)
    flat, offsets = torch.tensor([1, 3, 3, 7, 19, 3]), torch.tensor([0, 2, 5])
    packed = PackedEmbeddingBag(bag)
    exact = copy.deepcopy(bag)
    with torch.no_grad():
        exact.weight.copy_(packed.weight)
    assert torch.allclose(packed(flat, offsets), exact(flat, offsets), atol=1e-6)
    assert torch.allclose(packed(flat.view(2, 3)), exact(flat.view(2, 3)), atol=1e-6)
    if mode == "sum":
        weights = torch.rand(6)
        assert torch.allclose(packed(flat, offsets, weights), exact(flat, offsets, weights), atol=1e-6)


def test_an_embedding_and_its_tied_output_share_their_codes() -> None:
    model, tied = words(), words()
    before = model(IDS)
    session, (step,) = applied(model, IDS, ("int8-embedding", {}))
    assert isinstance(model.embedding, PackedEmbedding)
    assert isinstance(model.out, PackedLinear)
    assert model.embedding.codes.data_ptr() == model.out.codes.data_ptr()
    assert "1 Linear layer tied to it" in step.reason
    assert step.quality.after > 0.9995
    assert session.report.memory.parameters == sum(p.numel() for p in tied.parameters())
    session.undo()
    assert model.out.weight is model.embedding.weight
    assert torch.equal(model(IDS), before)


def test_weight_only_leaves_tied_layers_alone() -> None:
    model = words()
    applied(model, IDS, ("int8-weight-only", {}))
    assert isinstance(model.middle, PackedLinear)
    assert model.out.weight is model.embedding.weight


def test_an_embedding_tied_to_something_else_is_left_alone() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 8)
            self.table = self.embedding.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.embedding(ids) @ self.table.t()

    with short_timings():
        session = jo.optimize(Odd().eval(), IDS)
    assert "share their weights" in session.assessments["int8-embedding"].reason


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("linear", ["int8-dynamic", "int8-weight-only", "int4-weight-only"])
def test_embeddings_and_linears_stack_in_both_orders(linear: str, reverse: bool) -> None:
    class Untied(Words):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(64, 50)

    torch.manual_seed(0)
    model = Untied().eval()
    with torch.no_grad():
        exact = model(IDS)
    chain = [(linear, {"backend": "torch.ao"} if linear == "int8-dynamic" else {}), ("int8-embedding", {})]
    session, steps = applied(model, IDS, *(reversed(chain) if reverse else chain))
    assert all(step.accepted for step in steps)
    with torch.no_grad():
        changed = model(IDS)
        assert float(nn.functional.cosine_similarity(changed.flatten(), exact.flatten(), 0)) > 0.98
        session.undo()
        session.undo()
        assert torch.equal(model(IDS), exact)
        session.redo()
        session.redo()
        assert torch.equal(model(IDS), changed)


def test_packed_weights_travel_in_the_state_dict() -> None:
    model, other = mlp(), mlp()
    applied(model, FLAT, ("int4-weight-only", {}))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    applied(other, FLAT, ("int4-weight-only", {}))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(FLAT), model(FLAT))


def test_16_bits_after_packed_weights_are_refused_in_words() -> None:
    with short_timings():
        session = jo.optimize(mlp(), FLAT)
        session.apply("int8-weight-only", keep="always")
    assert "undo that first" in session.assessments["bf16"].reason


@pytest.fixture(scope="module")
def real() -> tuple[nn.Module, Any]:
    return minilm.load()


@pytest.fixture(scope="module")
def exact_score(real: tuple[nn.Module, Any]) -> float:
    return minilm.retrieval(*real)


CHAINS = {
    # of the fp32 bytes, and of the retrieval score, at the bars
    "int8": ([("int8-weight-only", {}), ("int8-embedding", {})], 0.26, 0.99),
    "int4": ([("int4-weight-only", {}), ("int8-embedding", {"bits": "4"})], 0.18, 0.95),
}


@pytest.mark.parametrize("name", CHAINS)
def test_real_weights_keep_their_quality(real: tuple[nn.Module, Any], exact_score: float, name: str) -> None:
    chain, most_bytes, least_score = CHAINS[name]
    model, tokenizer = real
    before = weights_bytes(model)
    session, _ = applied(model, minilm.batch(tokenizer), *chain)
    try:
        assert weights_bytes(model) <= most_bytes * before
        assert minilm.retrieval(model, tokenizer) >= least_score * exact_score
    finally:
        session.reset()
