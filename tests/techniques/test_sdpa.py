"""Attention that is spelt out becomes one call, in the many ways in which people spell it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import jupyter_optim as jo
from jupyter_optim.techniques.graft import CARRIED
from tests.zoo import named
from tests.zoo.timings import short_timings

BATCH, STEPS, HEADS, EACH = 2, 12, 4, 8
WIDTH = HEADS * EACH


class Heads(nn.Module):
    """Projections and heads; `attend` is what differs."""

    def __init__(self, attend: Callable[..., Any]) -> None:
        super().__init__()
        self.heads, self.attend = HEADS, attend
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.drop, self.softmax = nn.Dropout(0.2), nn.Softmax(dim=-1)
        self.root = torch.sqrt(torch.FloatTensor([EACH]))
        self.temperature = nn.Parameter(torch.rand(HEADS, 1, 1) + 0.5)
        self.bias = nn.Parameter(torch.randn(HEADS, 20, 20))
        self.register_buffer("causal", torch.tril(torch.ones(20, 20)).view(1, 1, 20, 20))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.size()  # noqa: N806 (as in the tutorials)
        return x.view(B, T, self.heads, C // self.heads).transpose(1, 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        mixed = self.attend(self, q, k, v, mask)
        return self.out(mixed.transpose(1, 2).contiguous().view(x.shape))


def plain(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return F.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.size(-1)), dim=-1) @ v


def nano_gpt(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    steps = q.size(2)
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(m.causal[:, :, :steps, :steps] == 0, float("-inf"))
    return m.drop(F.softmax(att, dim=-1)) @ v


def annotated_transformer(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(dim=-1)
    weights = F.dropout(weights, 0.1, m.training)
    return torch.matmul(weights, v)


def bert_like(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = torch.matmul(q, k.transpose(2, 3))
    scores = scores / m.root
    scores = scores + (1.0 - mask.float()) * -10000.0
    return torch.matmul(m.drop(m.softmax(scores)), v)


def swin_like(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    steps = q.shape[2]
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * m.temperature.exp()
    scores = scores + m.bias[:, :steps, :steps].contiguous().unsqueeze(0)
    return torch.softmax(scores, dim=3) @ v


def by_where(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = (q * EACH**-0.5) @ k.mT
    hidden = torch.where(mask > 0, scores, float("-inf"))
    return torch.softmax(hidden, -1).type_as(q) @ v


def by_bmm(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    flat = [each.reshape(-1, each.size(2), each.size(3)) for each in (q, k, v)]
    weights = torch.bmm(flat[0], flat[1].transpose(1, 2)).mul(0.3).softmax(-1)
    return torch.bmm(weights, flat[2]).view(q.shape)


def by_bmm_causal(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    steps = q.size(2)
    flat = [each.reshape(-1, each.size(2), each.size(3)) for each in (q, k, v)]
    scores = torch.bmm(flat[0], flat[1].transpose(1, 2))
    scores /= EACH**0.5
    scores = scores.masked_fill(m.causal[0, 0, :steps, :steps] == 0, -torch.inf)
    return (scores.softmax(-1) @ flat[2]).view(q.shape)


SPELLINGS = [plain, nano_gpt, annotated_transformer, bert_like, swin_like, by_where, by_bmm, by_bmm_causal]


def made(attend: Callable[..., Any]) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    mask = torch.ones(BATCH, 1, 1, STEPS)
    mask[0, ..., -4:] = 0
    return nn.ModuleDict({"attention": Heads(attend)}).eval()["attention"], (
        torch.randn(BATCH, STEPS, WIDTH),
        mask,
    )


def ops_of(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> set[str]:
    with torch.no_grad(), torch.profiler.profile() as profile:
        model(*inputs)
    return {event.name for event in profile.events()}


def fused(model: nn.Module, inputs: Any) -> Any:
    with torch.no_grad(), short_timings():
        return jo.optimize(model, inputs).apply("sdpa", keep="always")


def refused(model: nn.Module, inputs: Any) -> str:
    with torch.no_grad(), short_timings():
        assessment = jo.optimize(model, inputs).assessments["sdpa"]
    assert not assessment.applies
    return assessment.reason


@pytest.mark.parametrize("attend", SPELLINGS)
def test_each_spelling_becomes_one_call_with_the_same_answers(attend: Callable[..., Any]) -> None:
    model, inputs = made(attend)
    longer = (torch.randn(3, 17, WIDTH), (torch.rand(3, 1, 1, 17) > 0.3).float())
    with torch.no_grad():
        expected, at_length = model(*inputs), model(*longer)
        step = fused(model, inputs)
        assert step.accepted, step.reason
        assert type(model) is Heads
        torch.testing.assert_close(model(*inputs), expected, rtol=1e-4, atol=1e-5)
        # other sizes than those that were seen
        torch.testing.assert_close(model(*longer), at_length, rtol=1e-4, atol=1e-5)
    names = ops_of(model, inputs)
    assert "aten::scaled_dot_product_attention" in names
    assert "aten::softmax" not in names


def test_calls_of_another_kind_take_the_former_way() -> None:
    model, inputs = made(annotated_transformer)
    unmasked = model(inputs[0])
    fused(model, inputs)
    # without a mask, by keyword, and in training: dropout must be there again
    torch.testing.assert_close(model(inputs[0]), unmasked)
    assert "aten::softmax" in ops_of(model, inputs[:1])
    model.train()
    assert "aten::softmax" in ops_of(model, inputs)


def test_dropout_that_is_switched_on_alone_comes_back() -> None:
    model, inputs = made(nano_gpt)
    fused(model, inputs)
    model.drop.train()
    assert not torch.equal(model(*inputs), model(*inputs))


def test_dropout_that_is_on_when_it_is_measured_is_respected() -> None:
    model, inputs = made(nano_gpt)
    model.drop.train()
    assert "dropout is in train mode" in refused(model, inputs)
    assert model.drop.training


def test_its_signature_stays_and_it_is_undone_to_the_bit() -> None:
    model, inputs = made(nano_gpt)
    with torch.no_grad(), short_timings():
        expected, signature = model(*inputs), inspect.signature(model.forward)
        session = jo.optimize(model, inputs)
        session.apply("sdpa", keep="always")
        assert inspect.signature(model.forward) == signature
        session.apply("bf16", keep="always")
        session.reset()
        assert torch.equal(model(*inputs), expected)
    assert "forward" not in model.__dict__


def returns_weights(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    weights = torch.softmax(q @ k.transpose(-2, -1), -1)
    return weights @ v + weights.sum(-1, keepdim=True)


def keeps_weights(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    m.weights = torch.softmax(q @ k.transpose(-2, -1), -1)
    return m.weights @ v


def clamps(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.softmax((q @ k.transpose(-2, -1)).clamp(-5, 5), -1) @ v


def over_queries(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.softmax(q @ k.transpose(-2, -1), -2) @ v


def always_drops(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return F.dropout(torch.softmax(q @ k.transpose(-2, -1), -1), 0.1) @ v


def looks_at_values(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return plain(m, q, k, v, mask) if q.sum() > -1e9 else v


def scales_a_mask(m: Heads, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.softmax((q @ k.transpose(-2, -1) + mask) * 0.5, -1) @ v


@pytest.mark.parametrize(
    ("attend", "why"),
    [
        (returns_weights, "weights are read elsewhere"),
        (keeps_weights, "keeps values in its attributes (weights)"),
        (clamps, "`clamp` is between"),
        (over_queries, "not over the last dimension"),
        (always_drops, "dropout is always on"),
        (looks_at_values, "control flow"),
        (scales_a_mask, "`add` is between"),
    ],
)
def test_what_is_no_plain_attention_is_left_alone_with_the_reason(attend: Any, why: str) -> None:
    model, inputs = made(attend)
    assert why in refused(model, inputs)
    assert set(vars(model)) - {CARRIED} == set(vars(made(attend)[0]))


def test_a_softmax_that_is_no_attention_is_told_apart() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).softmax(-1)

    assert "followed by `output`" in refused(Classifier().eval(), torch.randn(2, 8))
    assert "no module of its own computes a softmax" in refused(nn.Linear(8, 3).eval(), torch.randn(2, 8))
    model, inputs = made(plain)
    assert "train mode" in refused(model.train(), inputs)


def test_each_of_several_layers_is_changed() -> None:
    layers = [made(nano_gpt)[0] for _ in range(3)]
    model, x = nn.Sequential(*layers).eval(), torch.randn(BATCH, STEPS, WIDTH)
    with torch.no_grad():
        expected = model(x)
        step = fused(model, x)
        assert "Attention of 3 modules" in step.reason
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_hugging_face_models_are_asked_for_their_own() -> None:
    model, inputs = named("bert").build()
    model.set_attn_implementation("eager")
    model.eval()
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        step = fused(model, inputs)
        assert step.accepted, step.reason
        assert model.config._attn_implementation == "sdpa"
        torch.testing.assert_close(model(**inputs).last_hidden_state, expected, rtol=1e-3, atol=1e-5)
        with short_timings():
            session = jo.optimize(model, inputs)
            assert session.undo() is not None
    assert model.config._attn_implementation == "eager"
