"""Whatever a forward writes is put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from jupyter_optim.guard import undisturbed, versions


class Writes(nn.Module):
    """Writes everything that a forward may write."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(1))
        self.seen: list[int] = []
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.calls += 1
        self.seen.append(self.calls)
        self.cache = x
        random.random()
        np.random.random()  # noqa: NPY002 (users draw from the global state)
        y = self.norm(x) * self.weight
        y.sum().backward()
        return nn.functional.dropout(y)


def test_buffers_attributes_gradients_and_random_state_are_put_back() -> None:
    model = Writes()
    model(torch.randn(4, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient = model.weight.grad
    kept_gradient = gradient.clone()
    python, state = random.getstate(), torch.get_rng_state()
    numpy = np.random.get_state()[1].copy()  # noqa: NPY002

    with undisturbed(model):
        model(torch.randn(4, 3))

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.weight.grad is gradient
    assert torch.equal(gradient, kept_gradient)
    assert (model.calls, model.seen) == (1, [1])
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_put_back_after_an_error_too() -> None:
    model = Writes()

    def interrupted() -> None:
        with undisturbed(model):
            model(torch.randn(4, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model.calls == 0
    assert not hasattr(model, "cache")
    assert model.weight.grad is None


def test_parameters_are_put_back_on_request() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()

    with undisturbed(model, parameters=True), torch.no_grad():
        model.weight.add_(1)
        model.half()

    assert torch.equal(model.weight, before)


def test_versions_tell_writes_and_exchanges() -> None:
    model = nn.Linear(2, 2)
    seen = {versions(model)}
    with torch.no_grad():
        model.weight.mul_(1)
    seen.add(versions(model))
    model.weight.data = model.weight.data.clone()
    seen.add(versions(model))
    assert len(seen) == 3
