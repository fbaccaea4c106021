"""`low-rank`: which directions it keeps, where it is worth it, and what it leaves alone."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from jupyter_optim.techniques.input_moments import Moments
from jupyter_optim.techniques.low_rank import LowRank
from jupyter_optim.techniques.low_rank_factors import _shrunk, any_pair, factored, quick_rank, spectrum
from tests.zoo import named
from tests.zoo.timings import short_timings


def narrow(rank: int = 8, width: int = 256) -> tuple[nn.Module, torch.Tensor]:
    """A model whose inputs lie in `rank` directions of the many that its full-rank weights know."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)).eval()
    return model, torch.randn(512, rank) @ torch.randn(rank, width) + 3


def test_directions_that_the_inputs_do_not_use_are_dropped_without_loss() -> None:
    # GIVEN weights of full rank, and inputs in 8 directions around a mean
    model, x = narrow()
    expected = model(x)

    # WHEN nearly all of the energy is kept
    with short_timings():
        session = jo.optimize(model, x)
        step = session.apply("low-rank", keep="always", energy=0.99, where="smaller", round_to=8)

    # THEN the first layer is two of rank 8 or little more, with a tenth of the weights and equal answers
    assert step.accepted, step.reason
    assert isinstance(model[0], nn.Sequential)
    assert model[0][0].out_features <= 16
    assert model[0][1].weight.shape == (256, model[0][0].out_features)
    assert step.size_ratio < 0.2
    assert step.quality.after > 0.9999
    assert torch.allclose(model(x), expected, atol=0.2)
    session.undo()
    assert torch.equal(model(x), expected)


def test_by_the_weights_alone_the_same_energy_needs_far_more_directions() -> None:
    model, x = narrow()
    weight = model[0].weight.detach()
    by_inputs = spectrum(weight, Moments.of(x)).rank_for(0.99, 1)
    by_weights = spectrum(weight, None).rank_for(0.99, 1)
    assert by_inputs <= 8
    assert by_weights > 150


def test_real_weights_lose_far_less_by_the_directions_of_their_inputs() -> None:
    # GIVEN a real layer with the inputs that it gets from some texts, and others from more texts
    model, tokenizer = minilm.load()
    layer = model.get_submodule("encoder.layer.2.intermediate.dense")
    seen: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _layer, args: seen.append(args[0].reshape(-1, 384)))
    minilm.embed(model, tokenizer, minilm.texts()[:16])
    handle.remove()
    captured = torch.cat(seen)
    held_out = captured[len(captured) // 2 :]
    moments = Moments.of(captured[: len(captured) // 2])

    # WHEN it is cut to half of its rank, by what it got, and by its weights alone
    errors = {}
    with torch.no_grad():
        exact = layer(held_out)
        for name, known in (("inputs", moments), ("weights", None)):
            pair = factored(layer, 192, spectrum(layer.weight.detach(), known), known)
            errors[name] = float(
                (pair(held_out) - exact).square().sum() / (exact - exact.mean(0)).square().sum()
            )

    # THEN the error on the other texts is a fraction
    assert errors["inputs"] < 0.6 * errors["weights"], errors


def test_layers_that_are_not_faster_are_left_alone_or_it_says_that_none_is() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    x = torch.randn(4, 64)
    with short_timings():
        session = jo.optimize(model, x)
        assert session.assessments["low-rank"].applies
        step = session.apply("low-rank", keep="always", energy=0.5, where="faster", round_to=1)
        smaller = session.apply("low-rank", keep="always", energy=0.5, where="smaller", round_to=1)
    # two calls of so small a layer take longer than one
    assert step.verdict == "failed"
    assert "no layer is faster" in step.reason
    assert smaller.accepted, smaller.reason
    assert smaller.size_ratio < 1


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (
            lambda: (nn.Sequential(nn.Linear(32, 8)).eval(), torch.randn(2, 32)),
            "no Linear or 1x1 convolution",
        ),
        (lambda: named("transformer-encoder").build(), "no Linear or 1x1 convolution"),
    ],
)
def test_it_refuses_what_it_cannot_factor(build: object, why: str) -> None:
    model, x = build()  # type: ignore[operator]
    with short_timings():
        session = jo.optimize(model, x)
    assert not session.assessments["low-rank"].applies
    assert why in session.assessments["low-rank"].reason


def test_tied_weights_and_weights_that_others_read_stay() -> None:
    # T5 reads `wo.weight` in the forward of its block, and ties its head to its embedding
    model, inputs = named("t5").build()
    with short_timings():
        session = jo.optimize(model, inputs)
        step = session.apply("low-rank", keep="always", energy=0.5, where="smaller", round_to=1)
    assert step.accepted, step.reason
    block = model.get_submodule("encoder.block.0.layer.1.DenseReluDense")
    assert isinstance(block.wo, nn.Linear)
    assert isinstance(block.wi, nn.Sequential)
    assert model.lm_head.weight is model.shared.weight


def test_inputs_of_few_directions_and_very_different_sizes_are_factored() -> None:
    # GIVEN a covariance that rounding has robbed of its positive eigenvalues
    torch.manual_seed(0)
    rows = torch.randn(50_000, 3) @ torch.randn(3, 128) * 10.0 ** torch.linspace(2, -2, 128)
    once = Moments.of(rows)
    moments = Moments(once.rows * 10**5, once.total * 1e5, once.products * 1e5)
    covariance = _shrunk(moments)
    assert torch.linalg.cholesky_ex(covariance).info != 0
    # WHEN a layer's directions on them are looked for
    layer = nn.Linear(128, 64)
    found = spectrum(layer.weight.detach(), moments)
    # THEN three of them are enough
    assert torch.isfinite(found.directions).all()
    assert found.rank_for(0.9999, 1) <= 3
    pair = factored(layer, 3, found, moments)
    answers = layer(rows)
    assert torch.linalg.norm(pair(rows) - answers) < 0.02 * torch.linalg.norm(answers)


def test_moments_are_exact_beside_a_large_mean() -> None:
    # GIVEN inputs whose spread is a millionth of a millionth of their mean's square
    torch.manual_seed(0)
    rows = torch.randn(4096, 3) @ torch.randn(3, 16) * 0.1 + 1000
    exact = torch.cov(rows.double().T, correction=0)
    # WHEN their moments are gathered in two batches
    moments = Moments.of(rows[:1000])
    moments.add_(Moments.of(rows[1000:]))
    # THEN the covariance is theirs, and its rank too
    assert torch.allclose(moments.covariance, exact, atol=1e-4 * float(exact.diagonal().max()))
    layer = nn.Linear(16, 32)
    assert spectrum(layer.weight.detach(), moments).rank_for(0.999, 1) <= 3


def test_the_quick_rank_is_about_the_rank_that_a_click_finds() -> None:
    torch.manual_seed(0)
    rows = torch.randn(2048, 20) @ torch.randn(20, 256) + torch.randn(2048, 256) * 0.05 + 2
    moments = Moments.of(rows)
    for weight in (torch.randn(128, 256), torch.randn(512, 256)):
        for known in (moments, None):
            exact = spectrum(weight, known).rank_for(0.95, 1)
            assert abs(quick_rank(weight, known, 0.95, 1) - exact) <= 1


def test_any_pair_has_the_shapes_of_the_real_one() -> None:
    for layer in (nn.Linear(64, 96), nn.Linear(96, 64, bias=False), nn.Conv2d(64, 96, 1)):
        real = factored(layer, 8, spectrum(layer.weight.detach().flatten(1), None), None)
        made = any_pair(layer, 8)
        assert {n: p.shape for n, p in made.named_parameters()} == {
            n: p.shape for n, p in real.named_parameters()
        }


def test_a_huge_layer_is_judged_in_seconds_and_said_to_be_assumed() -> None:
    # GIVEN layers whose directions take minutes to find: 4096 of them, and 16384 inputs
    model = nn.Sequential(nn.Linear(4096, 16384), nn.ReLU(), nn.Linear(16384, 4096)).eval()
    with short_timings():
        session = jo.optimize(model, torch.randn(2, 4096))
        began = time.perf_counter()
        found = LowRank().judge(session.subject)
        took_s = time.perf_counter() - began
    # THEN it is judged without them, which it says
    assert found.applies
    assert "assumed" in found.method
    assert found.predicted_speedup is not None
    assert took_s < 5  # 0.5 s on two quiet cores; to look for them is a hundred times that


def test_a_layer_that_is_too_large_to_be_factored_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4160, 4160, bias=False)).eval()
    with short_timings():
        session = jo.optimize(model, torch.randn(1, 4160))
    assert not session.assessments["low-rank"].applies
    assert "4,096" in session.assessments["low-rank"].reason


def test_inputs_that_are_not_finite_are_refused_in_words() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    x = torch.randn(4, 64)
    x[0, 0] = float("inf")
    with short_timings():
        session = jo.optimize(model, x)
        assert "infinite or NaN" in session.assessments["low-rank"].reason
        step = session.apply("low-rank", keep="always", energy=0.5, where="smaller", round_to=1)
    assert step.verdict == "failed"
    assert "infinite or NaN" in step.reason
