"""`int8-embedding`: the rows of embeddings in 8 or 4 bits, and a Linear that is tied to one with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from jupyter_optim.progress import Progress
from jupyter_optim.techniques.packing import (
    Packing,
    facts_of,
    faster_compute,
    foretell,
    packable,
    packed_draft,
    repacked,
    source_of,
    weight_of,
)
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique, counted
from jupyter_optim.techniques.weight_only import obstacle_to_packing

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_GROUP_OF_4_BITS = 32


class Int8Embedding(Technique):
    """Rows of `nn.Embedding` and `nn.EmbeddingBag` in int8, a scale each; or in 4 bits, by groups of 32."""

    name = "int8-embedding"
    family = "quantization"
    rebuilds = "structure"
    label = "Pack embeddings in int8"
    risk = "8-bit rows: hardly any difference in the answers; with 4 bits, one in the second digit."
    options = (
        Option(
            "bits",
            "Bits",
            "8",
            choices=("8", "4"),
            help="8: a scale for each row. 4: one for each 32 columns.",
        ),
    )

    def judge(self, subject: Subject) -> Assessment:
        reason = obstacle_to_packing(subject)
        layers = [] if reason else _layers(subject)
        if reason is None and not layers:
            reason = self._nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        prediction, size = foretell(subject, layers, _packing(layers, "8"))
        return Assessment(
            applies=True, reason=f"{_counted(layers)}: a quarter of their bytes. Only the rows that are looked up get unpacked, so it is for the size.",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=size, method=prediction.method,
        )  # fmt: skip

    def _nothing(self, subject: Subject) -> str:
        if not any(isinstance(module, _EMBEDDINGS) for module in subject.modules.values()):
            return "it has no Embedding or EmbeddingBag"
        if not subject.layers(_EMBEDDINGS):
            return "its embeddings' weights are used without calling the layers"
        return (
            "its embeddings have hooks or max_norm, are not in float32 or 16 bits, or share their weights with layers "
            "other than Linear"
        )

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = _layers(subject)
        packing = _packing(layers, options["bits"])
        model = packed_draft(draft, subject, layers, packing, progress)
        return Change(model, f"{_counted(layers)} in {packing.bits} bits", facts_of(layers, packing))

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return Change(repacked(draft, kept.facts))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source_of(facts)


def _layers(subject: Subject) -> list[Layer]:
    """Embeddings, each with the Linear layers that are tied to it."""
    found = packable(subject, (*_EMBEDDINGS, nn.Linear))
    embedded = {id(weight_of(each)) for each in found if isinstance(each.module, _EMBEDDINGS)}
    return [layer for layer in found if id(weight_of(layer)) in embedded]


def _packing(layers: list[Layer], bits: str) -> Packing:
    packing = Packing(int(bits), 0 if bits == "8" else _GROUP_OF_4_BITS)
    return Packing(packing.bits, packing.group, compute=faster_compute(layers, packing, "auto"))


def _counted(layers: list[Layer]) -> str:
    embeddings = sum(isinstance(layer.module, _EMBEDDINGS) for layer in layers)
    tied = len(layers) - embeddings
    text = counted(embeddings, "embedding")
    return f"{text} and {counted(tied, 'Linear layer')} tied to it" if tied else text
