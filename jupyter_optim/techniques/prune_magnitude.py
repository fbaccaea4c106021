"""`prune-magnitude`: the smallest weights become zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.progress import Progress
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class PruneMagnitude(Technique):
    """Zero the weights of least magnitude, over all layers together (Han et al., arXiv 1506.02626)."""

    name = "prune-magnitude"
    family = "pruning"
    label = "Zero small weights"
    risk = "Answers change with the amount; it saves no time by itself, since zeros are multiplied like any number."
    weights = "cloned"
    lossy = True
    rebuilds = "structure"
    options = (
        Option(
            "amount", "Fraction of weights", 0.5, low=0.05, high=0.95, step=0.05, help="How many become zero."
        ),
    )

    def judge(self, subject: Subject) -> Assessment:
        layers = _layers(subject)
        reason = subject.obstacle
        if reason is None and not layers:
            reason = "it has no Linear or convolution layer with weights of its own"
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        return Assessment(
            applies=True,
            reason="It saves no time and no memory by itself: dense kernels multiply zeros too. It makes the weights "
            "compressible, and shows how much of them the model needs.",
            covers_share=min(1.0, sum(layer.share for layer in layers)), predicted_speedup=1.0,
            predicted_size_ratio=1.0, method="known: dense kernels take the same time for zeros",
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        paths = [layer.path for layer in _layers(subject)]
        modules = dict(draft.named_modules())
        names = {
            id(w): (f"{path}.weight".removeprefix("."), w)
            for path in paths
            if (w := modules[path]._parameters.get("weight")) is not None
        }
        weights = dict(names.values())
        magnitudes = torch.cat([weight.detach().abs().flatten().float() for weight in weights.values()])
        count = round(options["amount"] * len(magnitudes))  # as torch.nn.utils.prune does
        if count == 0:
            return Change(draft, "no weight is small enough", {"layers": paths})
        threshold = magnitudes.kthvalue(count).values
        zeros = {}
        with torch.no_grad():
            for name, weight in weights.items():
                progress.check()
                kept = weight.abs().float() > threshold
                weight.mul_(kept.to(weight.dtype))
                zeros[name] = ~kept
        note = f"{count:,} of {len(magnitudes):,} weights set to zero"
        return Change(draft, note, {"layers": paths}, zeros=zeros)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return Change(draft)  # the zeros are in the weights

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return f"""\
from torch.nn.utils import prune

targets = [(model.get_submodule(path), "weight") for path in {facts["layers"]!r}]
prune.global_unstructured(targets, pruning_method=prune.L1Unstructured, amount={options["amount"]})
for module, name in targets:
    prune.remove(module, name)
"""


def _layers(subject: Subject) -> list[Layer]:
    """Layers whose weights are theirs, and not made by a hook (weight norm, spectral norm)."""
    return [layer for layer in subject.layers(_KINDS) if layer.module._parameters.get("weight") is not None]
