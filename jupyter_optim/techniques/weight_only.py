"""`int8-weight-only` and `int4-weight-only`: Linear weights in 8 or 4 bits; activations stay floating-point numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

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
)
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique, counted

_COMPUTE = Option(
    "compute", "Arithmetic", "auto", choices=("auto", "bfloat16", "as inputs"),
    help="Packed weights are unpacked at each call, to bfloat16 or to the type of the inputs; auto times both on "
    "the costliest layer.",
)  # fmt: skip


def obstacle_to_packing(subject: Subject) -> str | None:
    """Why the weights of no layer may be packed, or None."""
    if subject.obstacle is not None:
        return subject.obstacle
    if subject.training:
        return "it was called in train mode, and packed weights cannot be trained: call `model.eval()` first"
    if subject.workload.mode.autocast:
        return "it runs under autocast, which does not know packed layers"
    return None


class _WeightOnly(Technique):
    family = "quantization"
    rebuilds = "structure"
    bits: ClassVar[int]

    def packing(self, layers: list[Layer], options: Mapping[str, Any]) -> Packing:
        """How to pack, with the faster arithmetic of this machine."""
        group = 0 if options["group"] == "channel" else int(options["group"])
        packing = Packing(self.bits, group, weighted=bool(options.get("weighted", False)))
        return replace(packing, compute=faster_compute(layers, packing, options["compute"]))

    def judge(self, subject: Subject) -> Assessment:
        reason = obstacle_to_packing(subject)
        layers = [] if reason else packable(subject, (nn.Linear,))
        if reason is None and not layers:
            reason = self._nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        packing = self.packing(layers, self.parse_options({}))
        prediction, size = foretell(subject, layers, packing)
        slower = prediction.speedup is not None and prediction.speedup < 1
        gain = (
            "It is for the size: unpacking the weights costs time here" if slower else "Fewer bytes to read"
        )
        return Assessment(
            applies=True, reason=f"{counted(len(layers), 'Linear layer')} in {self.bits} bits. {gain}.",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=size, method=prediction.method,
        )  # fmt: skip

    def _nothing(self, subject: Subject) -> str:
        found = [module for module in subject.modules.values() if isinstance(module, nn.Linear)]
        if not found:
            return "it has no Linear layer"
        if subject.layers((nn.Linear,)):
            return (
                "its Linear layers share their weights with other layers (int8-embedding takes those tied to an "
                "embedding), have hooks, or are not in float32 or 16 bits"
            )
        return "its Linear layers' weights are used without calling the layers"

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = packable(subject, (nn.Linear,))
        packing = self.packing(layers, options)
        model = packed_draft(draft, subject, layers, packing, progress)
        computed = "in bfloat16" if packing.compute is not None else "in the type of its inputs"
        note = f"{counted(len(layers), 'Linear layer')} in {self.bits} bits, computed {computed}"
        return Change(model, note, facts_of(layers, packing))

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return Change(repacked(draft, kept.facts))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source_of(facts)


class Int8WeightOnly(_WeightOnly):
    """Weights in int8, symmetric, a scale for each output channel or group of its columns."""

    name = "int8-weight-only"
    label = "Pack weights in int8"
    risk = "8-bit weights: answers differ in the third digit."
    bits = 8
    options = (
        Option(
            "group", "Columns to a scale", "channel", choices=("channel", "128", "64", "32"),
            help="Smaller groups are more exact and a little larger.",
        ),
        _COMPUTE,
    )  # fmt: skip


class Int4WeightOnly(_WeightOnly):
    """Weights in 4 bits by groups, asymmetric, their ranges narrowed where the layer's inputs say so."""

    name = "int4-weight-only"
    label = "Pack weights in int4"
    risk = (
        "4-bit weights: answers differ in the second digit, and in the first of small models; give a score."
    )
    bits = 4
    options = (
        Option(
            "group", "Columns to a scale", "32", choices=("128", "64", "32"),
            help="Smaller groups are more exact and larger: 4.25, 4.5 or 5 bits a weight.",
        ),
        Option(
            "weighted", "Weigh by the inputs", True,
            help="Columns with large inputs count more when the range of a group is chosen.",
        ),
        _COMPUTE,
    )  # fmt: skip
