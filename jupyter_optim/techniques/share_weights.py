"""`share-weights`: each layer gets by with a few values; equal matrices become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.progress import Progress
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique, counted

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.EmbeddingBag)
_SMALLEST = 1024
"""Weights in a matrix that is worth a codebook."""

_ROUNDS = 100

Place = tuple[str, str]
"""Path of a module, and the name of a parameter of it."""


class ShareWeights(Technique):
    """Cluster each layer's weights to a few shared values (Deep Compression, arXiv 1510.00149); tie equal ones."""

    name = "share-weights"
    family = "pruning"
    label = "Share weights"
    risk = (
        "Answers change, the more the fewer bits; it saves no time and, but for equal matrices, no memory by itself. "
        "Tied matrices are trained as one."
    )
    weights = "cloned"
    options = (
        Option(
            "bits", "Bits for a weight", 5, low=2, high=8, step=1, help="A layer has 2 to this power of values."
        ),
        Option("tie", "Tie equal matrices", True, help="Matrices that are equal to the bit become one tensor."),
        Option("cluster", "Cluster values", True, help="Without it, only equal matrices are tied."),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle
        places = [] if reason else _places(subject.model)
        if reason is None and not places:
            reason = (
                f"it has no Linear, convolution or embedding with {_SMALLEST} weights of its own, or more"
            )
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        bits = int(self.parse_options({})["bits"])
        total = subject.report.memory.weights_bytes or 1
        weights = [_weight(subject.model, place) for place in places]
        ties = _equal(subject.model)
        tied = sum(_weight(subject.model, place).nbytes for _, place in ties)
        stored = total - sum(w.nbytes - w.numel() * bits / 8 - 2**bits * w.element_size() for w in weights)
        told = f" {counted(len(ties), 'matrix')} equal to another can be tied." if ties else ""
        return Assessment(
            applies=True,
            reason="It saves no time and no memory by itself: a dense kernel needs each weight written out. In a "
            f"file that keeps {bits} bits for a weight and each layer's values, the model would take "
            f"{stored / total:.0%} of its bytes.{told.replace('matrixs', 'matrices')}",
            covers_share=0.0, predicted_speedup=1.0, predicted_size_ratio=max(0.0, 1 - tied / total),
            method="known: dense kernels take the same time, and the same memory, for values that repeat",
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        ties = _equal(draft) if options["tie"] else []
        for first, second in ties:
            owner = draft.get_submodule(second[0])
            owner._parameters[second[1]] = draft.get_submodule(first[0])._parameters[first[1]]
        places = _places(draft) if options["cluster"] else []
        bits = int(options["bits"])
        for number, place in enumerate(places):
            progress.report(f"Clustering {len(places)} matrices", number / len(places))
            weight = _weight(draft, place)
            with torch.no_grad():
                weight.copy_(clustered(weight, 2**bits))
        said = [f"{len(places)} matrices of {2**bits} values"] if places else []
        said += [f"{len(ties)} tied to an equal one"] if ties else []
        return Change(draft, ", ".join(said) or "nothing to share", {"places": places, "ties": ties})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return f"""\
import torch

for (first, name), (second, other) in {facts["ties"]!r}:
    setattr(model.get_submodule(second), other, getattr(model.get_submodule(first), name))


def settled(values, centres):
    sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
    for _ in range({_ROUNDS}):
        ends = torch.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        ends = torch.cat([ends.new_zeros(1), ends, ends.new_full((1,), len(values))])
        counts = ends.diff()
        new = torch.where(counts > 0, sums[ends].diff() / counts.clamp_min(1), centres)
        if torch.equal(new, centres):
            break
        centres = new
    return centres


def clustered(weight, number):
    exact = weight.detach().double().flatten()
    values = exact.sort().values
    at = torch.linspace(0, len(values) - 1, number, device=values.device).long()
    even = torch.linspace(float(values[0]), float(values[-1]), number, dtype=values.dtype, device=values.device)
    found = []
    for start in (even, values[at]):
        centres = settled(values, start)
        found.append(centres[torch.bucketize(exact, (centres[1:] + centres[:-1]) / 2)])
    return min(found, key=lambda each: float((each - exact).square().sum())).view(weight.shape).to(weight.dtype)


with torch.no_grad():
    for path, name in {facts["places"]!r}:
        weight = getattr(model.get_submodule(path), name)
        weight.copy_(clustered(weight, {2 ** int(options["bits"])}))
"""


def clustered(weight: torch.Tensor, number: int) -> torch.Tensor:
    """`weight` with each value replaced by the nearest of `number` centres: k-means in one dimension.

    The better of two starts: centres evenly between the smallest and the largest value, which keeps large weights
    (section 3.2 of Deep Compression), and evenly among the sorted values.
    """
    exact = weight.detach().double().flatten()
    values = exact.sort().values
    at = torch.linspace(0, len(values) - 1, number, device=values.device).long()
    even = torch.linspace(
        float(values[0]), float(values[-1]), number, dtype=values.dtype, device=values.device
    )
    found = []
    for start in (even, values[at]):
        centres = _settled(values, start)
        found.append(centres[torch.bucketize(exact, (centres[1:] + centres[:-1]) / 2)])
    best = min(found, key=lambda each: float((each - exact).square().sum()))
    return best.view(weight.shape).to(weight.dtype)


def _settled(values: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The centres, each moved to the mean of its values until none moves; a round is one search for each centre."""
    sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
    for _ in range(_ROUNDS):
        ends = torch.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        ends = torch.cat([ends.new_zeros(1), ends, ends.new_full((1,), len(values))])
        counts = ends.diff()
        new = torch.where(counts > 0, sums[ends].diff() / counts.clamp_min(1), centres)
        if torch.equal(new, centres):
            break
        centres = new
    return centres


def _weight(root: nn.Module, place: Place) -> torch.Tensor:
    weight = root.get_submodule(place[0])._parameters[place[1]]
    assert weight is not None  # `_places` looked
    return weight


def _places(root: nn.Module) -> list[Place]:
    """Matrices to cluster; one that several modules have, once."""
    seen: set[int] = set()
    found = []
    for path, module in root.named_modules():
        weight = module._parameters.get("weight")
        if isinstance(module, _KINDS) and weight is not None and id(weight) not in seen and _is_plain(weight):
            seen.add(id(weight))
            found.append((path, "weight"))
    return found


def _is_plain(weight: torch.Tensor) -> bool:
    # an integer or packed weight has its few values already
    return weight.numel() >= _SMALLEST and weight.is_floating_point() and type(weight) is nn.Parameter


def _equal(root: nn.Module) -> list[tuple[Place, Place]]:
    """Pairs of matrices in tensors of their own that are equal to the bit."""
    first: dict[tuple[Any, ...], list[Place]] = {}
    found = []
    for place in _places(root):
        weight = _weight(root, place)
        key = (
            weight.shape,
            weight.dtype,
            weight.device,
            weight.requires_grad,
            float(weight.detach().sum(dtype=torch.float64)),
        )
        alike = first.setdefault(key, [])
        twin = next((each for each in alike if torch.equal(_weight(root, each), weight)), None)
        if twin is None:
            alike.append(place)
        else:
            found.append((twin, place))
    return found
