"""Predictions by a quick measurement of the whole draft: how many calls they take."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch
from torch import nn

from jupyter_optim.session.session import Session
from jupyter_optim.techniques.rehearse import Prediction, rehearse_draft
from jupyter_optim.workload import Workload

CALLS: Counter[int] = Counter()
"""By the id of a `Lasting`. Not with the model, which is left undisturbed: its own count would be put back."""


class Lasting(nn.Module):
    """Takes so many seconds a call."""

    def __init__(self, seconds: float, first_s: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.seconds, self.first_s = seconds, first_s

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        CALLS[id(self)] += 1
        time.sleep(self.first_s if CALLS[id(self)] == 1 and self.first_s else self.seconds)
        return x


@pytest.fixture(autouse=True)
def uncounted() -> None:
    CALLS.clear()


def rehearsed(live_s: float, draft: Lasting) -> Prediction:
    workload = Workload.of_call(Lasting(live_s).eval(), torch.zeros(2, 4))
    return rehearse_draft(Session(workload, predict=False).subject, draft.eval())


def test_a_draft_that_is_far_slower_is_called_twice() -> None:
    draft = Lasting(0.1)
    found = rehearsed(0.005, draft)
    assert CALLS[id(draft)] == 2
    assert found.speedup == pytest.approx(0.05, rel=0.5)
    assert found.method == "two calls of the changed model"


def test_a_first_call_that_packs_weights_does_not_count() -> None:
    draft = Lasting(0.005, first_s=0.2)
    found = rehearsed(0.005, draft)
    assert CALLS[id(draft)] > 2
    assert found.speedup == pytest.approx(1.0, rel=0.3)


@pytest.mark.parametrize(("live_s", "rounds"), [(0.002, 5), (0.03, 3), (0.06, 2), (0.12, 1)])
def test_the_longer_a_call_the_fewer_comparisons(live_s: float, rounds: int) -> None:
    draft = Lasting(live_s / 2)
    found = rehearsed(live_s, draft)
    assert found.speedup == pytest.approx(2.0, rel=0.3)
    blocks = int(found.method.split()[0])
    assert blocks % rounds == 0
    # each comparison of short calls begins with one that brings weights back
    spare = 1 + (rounds if live_s < 0.05 else 0)
    assert CALLS[id(draft)] == blocks + spare
