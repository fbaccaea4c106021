"""Timing side by side: how much of it, for whom."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jupyter_optim.profiling import paired
from jupyter_optim.profiling.paired import PairedBudget, PairedTiming, time_pair
from jupyter_optim.progress import Progress
from jupyter_optim.report import Interval
from jupyter_optim.workload import Workload


class Repeated(nn.Module):
    """Multiplies matrices so many times a call, and counts its calls."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for _ in range(self.times):
            x = x @ x
        return x


def timed(live: Repeated, draft: Repeated, budget: PairedBudget | None = None) -> PairedTiming:
    with torch.inference_mode():
        workload = Workload.of_call(live, torch.eye(256))
        live.calls = draft.calls = 0
        return time_pair(workload, live, draft, Progress(), budget)


def test_a_draft_of_long_calls_that_is_far_slower_is_known_after_two_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paired, "_LONG_S", 1e-9)
    live, draft = Repeated(1), Repeated(20)
    found = timed(live, draft)
    assert found.pairs == 2
    assert found.speedup.high < 0.5
    assert found.after_ms > 2 * found.before_ms


@pytest.mark.parametrize(("before", "after"), [(4, 4), (20, 1), (1, 20)])
def test_any_other_is_timed_in_as_many_pairs_as_asked(before: int, after: int) -> None:
    budget = PairedBudget(min_pairs=6, max_pairs=6)
    found = timed(Repeated(before), Repeated(after), budget)
    assert found.pairs == 6
    assert found.speedup.low <= found.speedup.median <= found.speedup.high


@pytest.mark.parametrize(("enough_s", "long_s"), [(1e-9, 1e-9), (10.0, 10.0)])
def test_long_calls_are_timed_one_by_one(
    enough_s: float, long_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "_ENOUGH_S", enough_s)
    monkeypatch.setattr(paired, "_LONG_S", long_s)
    monkeypatch.setattr(paired, "_FAR_SLOWER", 0.0)  # single short calls on a busy machine may look like that
    live, draft = Repeated(4), Repeated(4)
    budget = PairedBudget(min_pairs=6, max_pairs=6)
    found = timed(live, draft, budget)
    if long_s > 1:
        assert found.block_calls >= 4
    else:
        assert found.block_calls == 1
    # each block begins with a call that does not count, and so does each look at how long calls usually take
    looks = 2 if long_s > 1 else 1
    assert draft.calls == live.calls == 2 * looks + 6 * (found.block_calls + 1)


@pytest.mark.parametrize(
    ("low", "median", "high", "settled"),
    [
        (1.90, 1.99, 2.05, True),  # clear, and the figure is good enough
        (1.20, 1.30, 1.40, False),  # clear, and the figure is not
        (1.05, 1.09, 1.13, False),  # not clear: only a narrow one ends it
        (0.99, 1.00, 1.02, True),
        (0.40, 0.42, 0.43, True),
        (0.89, 0.93, 0.96, False),
    ],
)
def test_pairs_go_on_until_the_interval_tells_enough(
    low: float, median: float, high: float, settled: bool
) -> None:
    assert PairedBudget().settled(Interval(low=low, median=median, high=high)) is settled
