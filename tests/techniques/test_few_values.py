"""`prune-2:4` and `share-weights`: what becomes of the weights, and that it is no gain by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques.prune_2_4 import mask_of
from jupyter_optim.techniques.share_weights import clustered
from tests.techniques.test_techniques import FLAT, mlp, twins
from tests.zoo.timings import short_timings


def test_of_each_four_weights_two_are_left_and_nothing_is_promised() -> None:
    model = mlp()
    with short_timings():
        session = jo.optimize(model, FLAT)
        step = session.apply("prune-2:4", keep="always")
    assert step.accepted, step.reason
    for layer in model:
        if isinstance(layer, nn.Linear):
            assert ((layer.weight.view(-1, 4) != 0).sum(1) == 2).all()
    assessment = session.assessments["prune-2:4"]
    assert assessment.predicted_speedup == 1.0
    assert "saves no time" in assessment.reason
    assert "on the CPU" in assessment.reason


def test_weights_of_large_inputs_stay_though_they_are_small() -> None:
    # GIVEN inputs of which the first of each four is a hundred times the others
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 32)).eval(), torch.randn(128, 64)
    x[:, ::4] *= 100
    errors = {}
    with short_timings(), torch.no_grad():
        expected = model(x)
        session = jo.optimize(model, x)
        for by in ("inputs", "weights"):
            session.apply("prune-2:4", keep="always", by=by)
            if by == "inputs":
                assert (model[0].weight[:, ::4] != 0).float().mean() > 0.95
            errors[by] = float((model(x) - expected).square().sum())
            session.undo()
    assert errors["inputs"] < 0.1 * errors["weights"]


def test_the_mask_keeps_the_larger_two() -> None:
    assert mask_of(torch.tensor([[1.0, -4.0, 2.0, 0.0, 0.1, 0.2, -0.3, 0.05]]), None).tolist() == [
        [0, 1, 1, 0, 0, 1, 1, 0]
    ]


def test_each_layer_has_a_few_values_and_equal_matrices_are_one() -> None:
    model = twins()
    with short_timings():
        session = jo.optimize(model, FLAT)
        assessment = session.assessments["share-weights"]
        step = session.apply("share-weights", keep="always", bits=4)
        assert step.accepted, step.reason
        assert len(model[0].weight.unique()) <= 16
        assert model[0].weight is model[2].weight
        assert step.size_ratio == pytest.approx(0.5, abs=0.05)
        assert step.quality.after > 0.98
        session.undo()
    assert "saves no time" in assessment.reason
    assert "1 matrix equal to another can be tied" in assessment.reason
    assert model[0].weight is not model[2].weight
    assert len(model[0].weight.unique()) > 1000


def test_only_tying_loses_nothing() -> None:
    model = twins()
    expected = model(FLAT)
    with short_timings():
        session = jo.optimize(model, FLAT)
        step = session.apply("share-weights", keep="always", cluster=False)
    assert step.size_ratio == pytest.approx(0.5, abs=0.05)
    assert torch.equal(model(FLAT), expected)


def test_clusters_are_as_good_as_those_of_scikit_learn() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    torch.manual_seed(0)
    weight = torch.randn(64, 64)
    ours = float((clustered(weight, 16) - weight).square().sum())
    known = cluster.KMeans(16, n_init=3, random_state=0).fit(weight.reshape(-1, 1).numpy())
    assert ours < 1.1 * known.inertia_
