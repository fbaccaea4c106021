"""`int8-static` and `int8-mixed`: convolutions and Linear layers in int8, on scales found with inputs beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim.progress import Progress
from jupyter_optim.quality import fidelity
from jupyter_optim.report import Quality
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.int8_static_source import source
from jupyter_optim.techniques.packing import weight_holders, weight_of
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.replace import replace_modules_
from jupyter_optim.techniques.static_layers import Grid, StaticInt8, ValueRange
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique, counted

_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)


@dataclass(slots=True)
class _Seen:
    """What a layer got and gave while it was watched."""

    given: ValueRange = field(default_factory=ValueRange)
    made: ValueRange = field(default_factory=ValueRange)


class Int8Static(Technique):
    """Weights and activations in int8, the activations' scales fixed by the inputs of this run."""

    name = "int8-static"
    family = "quantization"
    rebuilds = "structure"
    label = "Quantize on fixed scales (int8)"
    risk = (
        "8-bit weights and activations, scaled by the inputs of this run: run it on inputs like those to come. Answers "
        "differ in the second digit."
    )

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or _obstacle(subject)
        layers = [] if reason else _quantizable(subject)
        if reason is None and not layers:
            reason = _nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        return self._judged(subject, layers, _Quantized.of(subject, layers, Progress()))

    def _judged(self, subject: Subject, layers: list[Layer], found: _Quantized) -> Assessment:
        prediction = rehearse_draft(subject, found.draft())
        kept = found.quality()
        return Assessment(
            applies=True,
            reason=f"{_kinds(layers)} in 8 bits, without a look at each call's values. On this run's inputs the answers "
            f"keep a cosine of {kept.after:.4f}.",
            covers_share=min(1.0, sum(layer.share for layer in layers)), predicted_speedup=prediction.speedup,
            predicted_size_ratio=_size_ratio(subject, layers), method=prediction.method,
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = _quantizable(subject)
        found = _Quantized.of(subject, layers, progress)
        return self._change(draft, subject, found, progress)

    def _change(self, draft: nn.Module, subject: Subject, found: _Quantized, progress: Progress) -> Change:
        return Change(replace_modules_(draft, found.made), f"{_kinds(found.layers)} in int8", found.facts())

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

    def _judged(self, subject: Subject, layers: list[Layer], found: _Quantized) -> Assessment:
        kept = found.quality()
        if kept.drop <= kept.max_drop:
            return Assessment(
                applies=False, reason=f"all layers in int8 keep the quality on this run's inputs (cosine {kept.after:.4f}): "
                "int8-static takes them all"
            )  # fmt: skip
        mixed, restored = _mixed(subject, found, subject.progress)
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

    def _change(self, draft: nn.Module, subject: Subject, found: _Quantized, progress: Progress) -> Change:
        mixed, restored = _mixed(subject, found, progress)
        note = f"{_kinds(mixed.layers)} in int8" if mixed.layers else "nothing in int8"
        note += f", {restored} left as {'it was' if restored == 1 else 'they were'}"
        return Change(replace_modules_(draft, mixed.made), note, mixed.facts())


@dataclass(slots=True)
class _Quantized:
    """Layers of a model in int8."""

    subject: Subject
    layers: list[Layer]
    made: dict[str, nn.Module]
    grids: dict[str, tuple[Grid, Grid]]
    reference: Any
    """What the model answers as it is."""

    @classmethod
    def of(cls, subject: Subject, layers: list[Layer], progress: Progress) -> _Quantized:
        """With the scales that the inputs of the run ask for."""
        progress.report("Looking at the layers' values", 0.0)
        seen = {layer.path: _Seen() for layer in layers}
        with _watched({layer.module: seen[layer.path] for layer in layers}):
            reference = subject.workload.outputs(subject.model)
        grids, made = {}, dict[str, nn.Module]()
        for number, layer in enumerate(layers):
            progress.report(f"Quantizing {layer.path or 'the model'}", number / len(layers))
            grids[layer.path] = seen[layer.path].given.grid(), seen[layer.path].made.grid()
            made[layer.path] = StaticInt8(layer.module, *grids[layer.path])  # type: ignore[arg-type]
        found = cls(subject, layers, made, grids, reference)
        try:
            subject.workload.outputs(found.draft())
        except RuntimeError:
            # a `view` of what comes out channels last, say; if it was something else, the next call tells
            for each in made.values():
                each.contiguous = True  # type: ignore[assignment]
        return found

    def draft(self) -> nn.Module:
        return replace_modules_(Draft(self.subject.model).root, self.made)

    def quality(self) -> Quality:
        """How like the answers are to the model's."""
        return fidelity(self.reference, self.subject.workload.outputs(self.draft()), self.subject.max_drop)

    def without(self, paths: Sequence[str]) -> _Quantized:
        """The same, but for some layers."""
        left = [layer for layer in self.layers if layer.path not in paths]
        made = {layer.path: self.made[layer.path] for layer in left}
        return _Quantized(self.subject, left, made, self.grids, self.reference)

    def facts(self) -> dict[str, Any]:
        contiguous = any(getattr(each, "contiguous", False) for each in self.made.values())
        grids = {path: [grid.facts() for grid in self.grids[path]] for path in self.made}
        return {"layers": grids, "contiguous": contiguous}


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
    if module._forward_hooks or module._forward_pre_hooks or "weight" not in module._parameters:
        return False
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        return False
    return all(
        type(each) is nn.Parameter and each.dtype is torch.float32 and each.numel() > 0
        for each in module.parameters()
    )


def _kinds(layers: Sequence[Layer]) -> str:
    counts: dict[str, int] = {}
    for layer in layers:
        name = type(layer.module).__name__
        counts[name] = counts.get(name, 0) + 1
    return " and ".join(counted(number, name) for name, number in counts.items())


def _size_ratio(subject: Subject, layers: Sequence[Layer]) -> float:
    size = sum(4 * weight_of(layer).numel() for layer in layers)
    return max(0.0, 1 - 0.75 * size / (subject.report.memory.weights_bytes or size or 1))


@contextmanager
def _watched(seen: Mapping[nn.Module, _Seen]) -> Iterator[None]:
    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        each = seen.get(module)
        if each is not None and args and isinstance(args[0], torch.Tensor):
            each.given.add(args[0].detach())
            each.made.add(output.detach())

    handle = hooks.register_module_forward_hook(note)
    try:
        yield
    finally:
        handle.remove()


def _mixed(subject: Subject, found: _Quantized, progress: Progress) -> tuple[_Quantized, int]:
    """As many layers in int8 as the quality bears, and how many are not."""
    progress.report("Looking for the layers that int8 harms", None)
    order = _by_harm(subject, found)
    restored = _fewest(lambda number: found.without(order[:number]).quality(), len(order), progress)
    return found.without(order[:restored]), restored


def _by_harm(subject: Subject, found: _Quantized) -> list[str]:
    """Paths of the layers, those first whose int8 form errs most for the time that it saves; one call of the model."""
    noise: dict[str, float] = {}
    paths = {layer.module: layer.path for layer in found.layers}

    def note(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        path = paths.get(module)
        if path is None or not args:
            return
        with torch.no_grad():
            error = (found.made[path](args[0]) - output.detach()).square().sum()
            noise[path] = max(
                noise.get(path, 0.0), float(error / output.detach().square().sum().clamp_min(1e-30))
            )

    handle = hooks.register_module_forward_hook(note)
    try:
        subject.workload.outputs(subject.model)
    finally:
        handle.remove()
    spent = {layer.path: max(layer.total_ms, 1e-6) for layer in found.layers}
    return sorted(paths.values(), key=lambda path: -noise.get(path, 0.0) / spent[path])


def _fewest(quality: Callable[[int], Quality], most: int, progress: Progress) -> int:
    """The fewest layers to leave as they are so that the quality holds, by bisection; `most` if it never does."""
    low, high = 0, most
    while low < high:
        progress.report(f"Leaving {low} to {high} layers as they are", None)
        middle = (low + high) // 2
        found = quality(middle)
        if found.drop <= found.max_drop:
            high = middle
        else:
            low = middle + 1
    return high
