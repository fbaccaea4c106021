"""Structured pruning of the digits CNN, with training afterwards."""

from __future__ import annotations

import torch

import jupyter_optim as jo
from benchmarks.digits import Digits, network
from benchmarks.timing import Result


def recovery() -> Result:
    """Three of four channels taken out of the digits CNN, then trained: weights, accuracy, time of a batch of 64."""
    digits = Digits.load()
    torch.manual_seed(0)
    model = network()
    digits.train(model)
    weights = sum(each.numel() for each in model.parameters())

    def train(draft: torch.nn.Module) -> None:
        torch.manual_seed(1)
        digits.train(draft, epochs=12, rate=4e-3)

    with torch.inference_mode():
        session = jo.optimize(
            model, digits.test_images[:64], evaluate=digits.accuracy, max_drop=0.01, train=train
        )
        step = session.apply("prune-structured", ratio=0.75)
    gone = 1 - sum(each.numel() for each in model.parameters()) / weights
    speedup, quality = step.speedup, step.quality
    assert speedup is not None  # else the step failed, and this bar with it
    assert quality is not None
    return {
        "bar": "90% of the parameters gone, at most 1 point lost, 3 times faster",
        "holds": step.accepted and gone >= 0.9 and quality.drop <= 0.01 and speedup.median >= 3,
        "ratio": speedup.median, "speedup": [speedup.low, speedup.median, speedup.high], "gone": gone,
        "accuracy_before": quality.before, "accuracy_after": quality.after, "verdict": step.verdict,
        "before_ms": step.before_ms, "after_ms": step.after_ms, "reason": step.reason, "took_s": step.took_s,
    }  # fmt: skip
