"""Modules that are called, but are no part of the model: the inside of an engine, or a layer in a plain list."""

from __future__ import annotations

import torch
from torch import nn

import jupyter_optim as jo
from tests.zoo.timings import short_timings


class Hidden(nn.Module):
    """Has more lines than modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(16, 16), nn.Linear(16, 16)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x)
        x = x.relu()
        x = self.layers[1](x)
        x = x.tanh()
        x = x + 1
        return x * 2


def test_their_ops_are_their_callers() -> None:
    with short_timings():
        report = jo.optimize(Hidden().eval(), torch.randn(4, 16)).report
    assert report.workload.replayed, report.workload.reason
    assert [row.path for row in report.modules] == [""]
    linear = [op for op in report.ops if op.name == "aten::addmm"]
    assert {op.module for op in linear} == {""}
    assert sum(op.calls for op in linear) == 2
    assert {line.text.strip() for line in report.lines} >= {"x = self.layers[0](x)", "x = self.layers[1](x)"}
