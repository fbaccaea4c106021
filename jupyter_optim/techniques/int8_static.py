"""`int8-static` and `int8-mixed`: convolutions and Linear layers in int8, on scales found with inputs beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import InvalidInputs
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.int8_static_source import source
from jupyter_optim.techniques.packing import weight_holders, weight_of
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.replace import has_hooks, replace_modules_
from jupyter_optim.techniques.static_layers import Grid, StaticInt8
from jupyter_optim.techniques.static_quantized import Quantized, mixed_of
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique, counted

_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)

_NEAR = 1e-3
"""A loss of cosine similarity that no score is expected to mind."""

_LOOK_S = 1.0
"""How long a prediction goes on calling the model with calibration inputs."""


class Int8Static(Technique):
    """Weights and activations in int8, the activations' scales fixed by calibration inputs, or those of this run."""

    name = "int8-static"
    family = "quantization"
    rebuilds = "structure"
    label = "Quantize on fixed scales (int8)"
    risk = (
        "8-bit weights and activations, scaled by the inputs of this run, or by those that you give as `calibration`: they "
        "should be like those to come. Answers differ in the second digit."
    )

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or _obstacle(subject)
        layers = [] if reason else _quantizable(subject)
        if reason is None and not layers:
            reason = _nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        try:
            # another technique may have made them before
            found = subject.once(
                ("int8-static",),
                lambda: Quantized.of(subject, layers, subject.progress, within_s=_LOOK_S),
            )
        except InvalidInputs as error:
            return Assessment(applies=False, reason=str(error).rstrip("."))
        return self._judged(subject, layers, found)

    def _judged(self, subject: Subject, layers: list[Layer], found: Quantized) -> Assessment:
        prediction = rehearse_draft(subject, found.draft())
        kept = found.quality()
        return Assessment(
            applies=True,
            reason=f"{_kinds(layers)} in 8 bits, without a look at each call's values. On this run's inputs the answers "
            f"keep a cosine of {kept.after:.4f}{_scaled_by(found)}.",
            covers_share=min(1.0, sum(layer.share for layer in layers)), predicted_speedup=prediction.speedup,
            predicted_size_ratio=_size_ratio(subject, layers), method=prediction.method,
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = _quantizable(subject)
        found = Quantized.of(subject, layers, progress)
        return self._change(draft, subject, found, progress)

    def _change(self, draft: nn.Module, subject: Subject, found: Quantized, progress: Progress) -> Change:
        note = f"{_kinds(found.layers)} in int8{_scaled_by(found)}"
        return Change(replace_modules_(draft, found.made), note, found.facts())

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        modules = dict(draft.named_modules())
        made = {
            path: StaticInt8(modules[path], Grid(**given), Grid(**out), contiguous=kept.facts["contiguous"])
            for path, (given, out) in kept.facts["layers"].items()
        }
        return Change(replace_modules_(draft, made))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts)


class Int8Mixed(Int8Static):
    """As much of `int8-static` as the quality bears: the layers that harm it most for their time stay as they are."""

    name = "int8-mixed"
    label = "Quantize what bears it (int8)"

    def _judged(self, subject: Subject, layers: list[Layer], found: Quantized) -> Assessment:
        kept = found.quality()
        # how much of a score a change of the answers costs, only `evaluate` knows
        bearable = kept.max_drop if subject.score is None else _NEAR
        if kept.drop <= bearable:
            return Assessment(
                applies=False, reason=f"all layers in int8 keep the quality on this run's inputs (cosine {kept.after:.4f}): "
                "int8-static takes them all"
            )  # fmt: skip
        if subject.score is not None:
            assessment = super()._judged(subject, layers, found)
            return replace(
                assessment,
                reason=f"All of {_kinds(layers)} in int8 leave a cosine of {kept.after:.4f} on this run's inputs. As many "
                "as your score bears, those first that gain most: your `evaluate` is asked a few times.",
                method=f"{assessment.method}, all layers in int8: at most that",
            )
        mixed, restored = mixed_of(subject, found, subject.progress)
        if not mixed.layers:
            return Assessment(
                applies=False, reason="not one of its layers may be in int8 without too much of a loss"
            )
        assessment = super()._judged(subject, mixed.layers, mixed)
        return replace(
            assessment,
            reason=f"All of {_kinds(layers)} in int8 leave a cosine of {kept.after:.4f} on this run's inputs; without the "
            f"{restored} that harm most for the time they save it is {mixed.quality().after:.4f}.",
        )

    def _change(self, draft: nn.Module, subject: Subject, found: Quantized, progress: Progress) -> Change:
        mixed, restored = mixed_of(subject, found, progress, by_score=True)
        note = f"{_kinds(mixed.layers)} in int8" if mixed.layers else "nothing in int8"
        if restored:
            note += f", {restored} left as {'it was' if restored == 1 else 'they were'}"
        note += _scaled_by(found)
        return Change(replace_modules_(draft, mixed.made), note, mixed.facts())


def _obstacle(subject: Subject) -> str | None:
    if subject.training:
        return "it was called in train mode, and int8 layers pass no gradients: call `model.eval()` first"
    if subject.workload.device.type != "cpu":
        return "torch's static int8 kernels run on the CPU only"
    if subject.workload.mode.autocast:
        return "it runs under autocast, and int8 layers take float32 only"
    return None


def _nothing(subject: Subject) -> str:
    if any(isinstance(module, _KINDS) for module in subject.modules.values()):
        return (
            "its Linear and Conv2d layers are not in float32, have hooks, share their weights, pad otherwise than with "
            "zeros, or are not called as layers"
        )
    return "it has no Linear or Conv2d layer"


def _quantizable(subject: Subject) -> list[Layer]:
    """Called as layers, in float32, each with weights of its own."""
    holders = weight_holders(subject.model)
    attention = {
        module.out_proj for module in subject.modules.values() if isinstance(module, nn.MultiheadAttention)
    }
    return [
        layer
        for layer in subject.layers(_KINDS)
        if _is_plain(layer.module)
        and layer.module not in attention
        and len(holders[id(weight_of(layer))]) == 1
    ]


def _is_plain(module: nn.Module) -> bool:
    if has_hooks(module) or "weight" not in module._parameters:
        return False
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        return False
    return all(
        type(each) is nn.Parameter and each.dtype is torch.float32 and each.numel() > 0
        for each in module.parameters()
    )


def _scaled_by(found: Quantized) -> str:
    return f", scaled by {counted(found.calibrated, 'calibration input')}" if found.calibrated else ""


def _kinds(layers: Sequence[Layer]) -> str:
    counts: dict[str, int] = {}
    for layer in layers:
        name = type(layer.module).__name__
        counts[name] = counts.get(name, 0) + 1
    return " and ".join(counted(number, name) for name, number in counts.items())


def _size_ratio(subject: Subject, layers: Sequence[Layer]) -> float:
    size = sum(4 * weight_of(layer).numel() for layer in layers)
    return max(0.0, 1 - 0.75 * size / (subject.report.memory.weights_bytes or size or 1))
