"""What a model of the zoo is: a name, a way to build it, and what is special about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

SEED = 20260

Built = tuple[nn.Module, Any]
"""A model, and its inputs as `jupyter_optim.optimize` takes them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the zoo. Each `build` gives an equal, independent model with equal inputs."""

    name: str
    build: Callable[[], Built]
    tags: frozenset[str]
    training: bool = False


def entry(name: str, make: Callable[[], Built], *tags: str, training: bool = False) -> Entry:
    """An entry whose model `make` builds from seeded random numbers."""

    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model, inputs = make()
        model.train(training)
        return model, inputs

    return Entry(name, build, frozenset(tags), training)
