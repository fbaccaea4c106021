"""Models that take and return more than one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, Entry, entry


class Scores(NamedTuple):
    """What a two-headed model answers."""

    mean: Tensor
    spread: Tensor | None


@dataclass
class Detection:
    """What a detector answers, with what is no tensor beside the tensors."""

    boxes: Tensor
    labels: Tensor
    threshold: float
    names: tuple[str, ...] = ("cat", "dog")
    mask: Tensor | None = None


@dataclass(frozen=True)
class Frozen:
    """An answer that must not be written to."""

    hidden: list[Tensor]
    last: Tensor


class DictToDict(nn.Module):
    """Takes one dict and returns another, with an integer among its entries."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(16, 32), nn.Linear(8, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        logits = self.head(torch.relu(self.left(batch["left"]) + self.right(batch["right"])))
        return {
            "logits": logits,
            "label": logits.argmax(-1),
            "parts": {"max": logits.amax()},
            "count": len(logits),
        }


class NamedTupleOut(nn.Module):
    """Returns a named tuple, one field of it None."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 2))

    def forward(self, x: Tensor, with_spread: bool = False) -> Scores:
        mean, spread = self.body(x).unbind(-1)
        return Scores(mean, spread.exp() if with_spread else None)


class DataclassOut(nn.Module):
    """Returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 16, 3, padding=1)
        self.boxes, self.labels = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 2, 1)

    def forward(self, pictures: Tensor) -> Detection:
        hidden = self.features(pictures).relu()
        return Detection(
            self.boxes(hidden).flatten(2), self.labels(hidden).flatten(2).argmax(1), threshold=0.5
        )


class FrozenOut(nn.Module):
    """Returns a frozen dataclass with a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))

    def forward(self, x: Tensor) -> Frozen:
        hidden = []
        for layer in self.layers:
            x = layer(x).relu()
            hidden.append(x)
        return Frozen(hidden, x)


class OptionalInput(nn.Module):
    """Takes None for what is not there, and returns None likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(
        self, x: Tensor, mask: Tensor | None, scale: float | None = None
    ) -> tuple[Tensor, Tensor | None]:
        x = self.value(x) * self.gate(x).sigmoid() * (scale or 1.0)
        return (x, None) if mask is None else (x * mask, mask.sum(-1))


class NestedLists(nn.Module):
    """Takes lists of lists of tensors with strings beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 24)
        self.head = nn.Linear(24, 3)

    def forward(self, groups: list[list[Tensor]], options: dict[str, Any]) -> list[list[Tensor]]:
        change = torch.tanh if options["activation"] == "tanh" else torch.relu
        return [[self.head(change(self.layer(member))) for member in group] for group in groups]


class KeywordsOnly(nn.Module):
    """Its forward takes no positional input."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(50, 32), nn.Linear(32, 6)

    def forward(self, *, tokens: Tensor, temperature: float = 1.0, **others: Any) -> Tensor:
        return self.head(self.words(tokens).mean(1)) / temperature + len(others)


class VariableLists(nn.Module):
    """Returns a list whose members have sizes that depend on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.box = nn.Linear(16, 1), nn.Linear(16, 4)

    def forward(self, batch: Tensor) -> list[dict[str, Tensor]]:
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Tensor) -> dict[str, Tensor]:
        kept = sample[:, 0] > 0
        return {"boxes": self.box(sample)[kept], "scores": self.score(sample)[kept, 0].sigmoid()}


class GaussianHead(nn.Module):
    """Returns a distribution: an object that holds tensors and is no container."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x: Tensor) -> torch.distributions.Normal:
        mean, spread = self.body(x).unbind(-1)
        return torch.distributions.Normal(mean, spread.exp())


class Sampler(nn.Module):
    """Takes a number and no tensor, and draws at random."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, count: int) -> Tensor:
        return self.body(torch.randn(count, 8))


class PassesInputOn(nn.Module):
    """Returns one of its inputs as it came, and a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, x[:, :4], self.fc(x)


class NotANumber(nn.Module):
    """Answers NaN for a part of its inputs, as masked means do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.fc(x) * mask).sum(-1) / mask.sum(-1)


class LossOut(nn.Module):
    """Returns a loss, as models that are written for a trainer do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.body(x), target)


def _dict_to_dict() -> Built:
    return DictToDict(), ({"left": torch.randn(16, 16), "right": torch.randn(16, 8)},)


def _namedtuple() -> Built:
    return NamedTupleOut(), (torch.randn(16, 16), False)


def _dataclass() -> Built:
    return DataclassOut(), torch.randn(2, 3, 16, 16)


def _frozen_dataclass() -> Built:
    return FrozenOut(), torch.randn(16, 32)


def _optional_input() -> Built:
    return OptionalInput(), (torch.randn(16, 32), None)


def _nested_lists() -> Built:
    groups = [[torch.randn(4, 8), torch.randn(2, 8)], [torch.randn(3, 8)], []]
    return NestedLists(), {"groups": groups, "options": {"activation": "tanh"}}


def _keywords_only() -> Built:
    return KeywordsOnly(), {"tokens": torch.randint(0, 50, (8, 12)), "temperature": 2.0, "extra": "x"}


def _variable_lists() -> Built:
    return VariableLists(), torch.randn(3, 40, 16)


def _gaussian() -> Built:
    return GaussianHead(), torch.randn(32, 16)


def _sampler() -> Built:
    return Sampler(), (64,)


def _passes_input_on() -> Built:
    return PassesInputOn(), torch.randn(8, 32)


def _not_a_number() -> Built:
    mask = torch.ones(8, 16)
    mask[2] = 0
    return NotANumber(), (torch.randn(8, 16), mask)


def _loss() -> Built:
    return LossOut(), (torch.randn(64, 30), torch.randint(0, 2, (64,)))


ENTRIES: tuple[Entry, ...] = (
    entry("dict-to-dict", _dict_to_dict, "structure"),
    entry("namedtuple-output", _namedtuple, "structure"),
    entry("dataclass-output", _dataclass, "structure"),
    entry("frozen-dataclass-output", _frozen_dataclass, "structure"),
    entry("none-input", _optional_input, "structure"),
    entry("nested-lists", _nested_lists, "structure"),
    entry("keywords-only", _keywords_only, "structure", "integer-inputs"),
    entry("variable-lists", _variable_lists, "structure"),
    entry("distribution-output", _gaussian, "structure", "opaque-output"),
    entry("no-tensor-input", _sampler, "structure", "random"),
    entry("passes-input-on", _passes_input_on, "structure"),
    entry("nan-output", _not_a_number, "structure", "nan"),
    entry("loss-output", _loss, "structure", training=True),
)
