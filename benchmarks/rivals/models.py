"""The models of the race, of random weights: speed does not depend on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jupyter_optim.quiet import quiet
from tests.zoo import named


@dataclass(frozen=True)
class Runner:
    """A model in the race."""

    name: str
    build: Callable[[], tuple[nn.Module, Any]]
    """Gives a model in eval mode, and its inputs as `jupyter_optim.optimize` takes them."""
    bar: float
    """How many times as fast as eager float32 our best click has to be, at a cosine of 0.99 or more."""
    transformer: bool = False


def bert(batch: int, length: int) -> tuple[nn.Module, Any]:
    """A BERT of 6 layers, 384 wide."""
    with quiet():
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        model = BertModel(config).eval()
    ids = torch.randint(0, 30_000, (batch, length))
    return model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def resnet(batch: int) -> tuple[nn.Module, Any]:
    """A ResNet-18, whose BatchNorms have statistics of their own."""
    model = named("resnet18").build()[0].eval()
    return model, (torch.randn(batch, 3, 224, 224),)


def mlp() -> tuple[nn.Module, Any]:
    """1024-4096-4096-1000."""
    model = nn.Sequential(
        nn.Linear(1024, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)
    )
    return model.eval(), (torch.randn(32, 1024),)


class Lstm(nn.Module):
    """Two layers of 512."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(512, 512, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All hidden states."""
        states: torch.Tensor = self.lstm(x)[0]
        return states


RUNNERS = (
    Runner("BERT 6 x 384, 8 x 128", lambda: bert(8, 128), 6.4, transformer=True),
    Runner("BERT 6 x 384, 1 x 32", lambda: bert(1, 32), 7.5, transformer=True),
    Runner("ResNet-18, 1 x 224", lambda: resnet(1), 6.8),
    Runner("ResNet-18, 8 x 224", lambda: resnet(8), 6.8),
    Runner("MLP 1024-4096-4096-1000, 32", mlp, 11),
    Runner("LSTM 2 x 512, 4 x 64", lambda: (Lstm().eval(), (torch.randn(4, 64, 512),)), 2),
)
