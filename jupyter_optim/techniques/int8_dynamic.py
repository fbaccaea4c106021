"""`int8-dynamic`: Linear, LSTM and GRU layers with int8 weights; no calibration data needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.hardware.isa import has_bf16, has_vnni
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop, fidelity
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.int8_layers import Bf16Linear, Int8Linear, engines, quantized_rnn
from jupyter_optim.techniques.int8_source import source
from jupyter_optim.techniques.rehearse import Prediction, layer_times, rehearse_draft, rehearse_layers
from jupyter_optim.techniques.replace import has_hooks, replace_modules_
from jupyter_optim.techniques.sensitivity import Sensitivity, sensitivities
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique, counted

_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.LSTM, nn.GRU)
_QUICKLY_QUANTIZED = 50_000_000
"""Parameters: half a second's work."""

_WORTH_RACING_MS = 0.5
"""Calls of the costliest layer that torch.ao's kernels are raced on, at least."""

_WORTH_COMPILING_MS = 5.0
"""The same for torchao: its race alone loads and runs PyTorch's compiler for ten seconds."""

_WORTH_COMPILING = 1.1
"""How much faster torchao must be: compiling the whole model for it takes half a minute."""

_ERROR_LIMITS = (float("inf"), 2e-3, 1e-3, 5e-4, 0.0)
"""How far to go in sparing layers: those whose own error is above this."""

_AIM = 1e-3
"""Loss of cosine similarity to aim for where sparing a layer costs little time."""

_AIM_WITH_SCORE = 0.02
"""The same where it costs much, and the user's own score judges afterwards."""


class Int8Dynamic(Technique):
    """Weights in int8, a scale for each output channel; activations quantized at each call."""

    name = "int8-dynamic"
    family = "quantization"
    rebuilds = "structure"
    label = "Quantize to int8"
    risk = (
        "8-bit weights and activations: answers differ in the second or third digit. Layers that would lose too much "
        "get 16 bits, or keep their largest channels in 32."
    )
    options = (
        Option(
            "backend", "Kernels", "auto", choices=("auto", "torch.ao", "torchao"),
            help="auto times both on the costliest layer, if a call of it takes 5 ms or more; torchao needs "
            "torch.compile, and so half a minute.",
        ),
        Option(
            "sensitive", "Sensitive layers", "auto", choices=("auto", "bfloat16", "outliers", "int8"),
            help="Layers that lose most, as many as quality needs: wholly in bfloat16, or with their largest "
            "input channels in float32; auto takes what is faster here; int8 spares none.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or self._obstacle(subject)
        layers = [] if reason else self.layers(subject)
        if reason is None and not layers:
            reason = self._nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        prediction = self._predict(subject, layers)
        size = sum(p.numel() * 4 for layer in layers for p in layer.module.parameters())
        total = subject.report.memory.weights_bytes or 1
        kinds = ", ".join(sorted({type(layer.module).__name__ for layer in layers}))
        return Assessment(
            applies=True, reason=f"{counted(len(layers), f'{kinds} layer')} with 8-bit numbers, a quarter of the bytes, as far as the answers bear it.",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=max(0.0, 1 - 0.75 * size / total), method=prediction.method,
        )  # fmt: skip

    def _predict(self, subject: Subject, layers: list[Layer]) -> Prediction:
        """By the whole draft where quantizing it is quick, else by a layer of each kind."""
        if sum(p.numel() for layer in layers for p in layer.module.parameters()) > _QUICKLY_QUANTIZED:
            return rehearse_layers(subject, layers, lambda module, _layer: quantized(module))
        engine = _fastest(layers, "torch.ao")[1]
        made = {each.path: quantized(each.module, engine=engine) for each in layers}
        draft = replace_modules_(Draft(subject.model).root, made)
        prediction = rehearse_draft(subject, draft)
        return replace(prediction, covers_share=min(1.0, sum(layer.share for layer in layers)))

    def _obstacle(self, subject: Subject) -> str | None:
        if subject.training:
            return "it was called in train mode, and int8 layers pass no gradients: call `model.eval()` first"
        if subject.workload.device.type != "cpu":
            return "torch's dynamic int8 kernels run on the CPU only"
        if subject.workload.mode.autocast:
            return "it runs under autocast, and int8 layers take float32 only"
        return None

    def _nothing(self, subject: Subject) -> str:
        found = [module for module in subject.modules.values() if isinstance(module, _KINDS)]
        if found and not any(_is_float32(module) for module in found):
            return "its Linear, LSTM and GRU layers are not in float32 any more, or have hooks"
        if found:
            return (
                "its layers' weights are used without calling the layers, as nn.MultiheadAttention and the fast path "
                "of nn.TransformerEncoder do"
            )
        return "it has no Linear, LSTM or GRU layer"

    def layers(self, subject: Subject) -> list[Layer]:
        """The layers that can be quantized: called as modules, in float32, each weight used there alone."""
        direct = _read_directly(subject)
        return [
            layer
            for layer in subject.layers(_KINDS)
            if _is_float32(layer.module) and layer.path not in direct
        ]

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = self.layers(subject)
        progress.report("Racing int8 kernels on the costliest layer", None)
        backend, engine = _fastest(layers, options["backend"])
        if backend == "torchao":
            return _with_torchao(draft, layers, progress)
        made = {layer.path: quantized(layer.module, engine=engine) for layer in layers}
        spared: dict[str, list[int] | None] = {}
        if options["sensitive"] != "int8":
            progress.report("Looking for layers that int8 harms", None)
            seen = sensitivities(subject, layers, made)
            form = _faster_form(layers, seen, options["sensitive"], engine)
            spared = _spare(subject, draft, made, seen, form, engine, progress)
        draft = replace_modules_(draft, made)
        note = f"{counted(len(layers), 'layer')} by torch.ao's {engine} kernels"
        outliers = {path: kept for path, kept in spared.items() if kept is not None}
        in_bfloat16 = [path for path, kept in spared.items() if kept is None]
        if outliers:
            note += f", {len(outliers)} of them with up to 32 channels in float32"
        if in_bfloat16:
            note = f"{len(layers) - len(in_bfloat16)} of {note}, {len(in_bfloat16)} in bfloat16"
        facts = {
            "backend": "torch.ao", "engine": engine, "layers": [layer.path for layer in layers], "outliers": outliers,
            "bfloat16": in_bfloat16, "reduce_range": not has_vnni(),
            "recurrent": [layer.path for layer in layers if isinstance(layer.module, nn.RNNBase)],
        }  # fmt: skip
        return Change(draft, note, facts)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        facts = kept.facts
        modules = dict(draft.named_modules())
        layers = {path: modules[path] for path in facts["layers"]}
        if facts["backend"] == "torchao":
            _quantize_by_torchao_(draft, frozenset(layers))
            return Change(draft, compiled={})
        engine = facts["engine"] if facts["engine"] in engines() else engines()[0]
        made = {
            path: _in_bfloat16(module)
            if path in facts["bfloat16"]
            else quantized(module, facts["outliers"].get(path), engine)
            for path, module in layers.items()
        }
        return Change(replace_modules_(draft, made))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts)


def quantized(module: nn.Module, outliers: list[int] | None = None, engine: str | None = None) -> nn.Module:
    """The int8 form of a Linear, LSTM or GRU."""
    if isinstance(module, nn.Linear):
        return Int8Linear(module, torch.tensor(outliers) if outliers else None, engine)
    return quantized_rnn(module)  # type: ignore[arg-type]


def _in_bfloat16(linear: nn.Module) -> nn.Module:
    assert isinstance(linear, nn.Linear)  # only Linears are looked at for their sensitivity
    return Bf16Linear(linear)


def _is_float32(module: nn.Module) -> bool:
    plain = not isinstance(module, nn.RNNBase) or (module.proj_size == 0 and module.bias)
    # hooks of the user and parametrizations would be lost with the layer
    return plain and not has_hooks(module) and all(p.dtype == torch.float32 for p in module.parameters())


def _read_directly(subject: Subject) -> frozenset[str]:
    """Paths of layers whose weights nn.MultiheadAttention reads itself."""
    attention = [
        path for path, module in subject.modules.items() if isinstance(module, nn.MultiheadAttention)
    ]
    return frozenset(f"{path}.out_proj" if path else "out_proj" for path in attention)


def _faster_form(layers: list[Layer], seen: Mapping[str, Sensitivity], wanted: str, engine: str) -> str:
    """``bfloat16`` or ``outliers``: how the costliest Linear is faster on this machine."""
    costliest = max(
        (each for each in layers if each.path in seen), key=lambda each: each.total_ms, default=None
    )
    if wanted != "auto" or costliest is None:
        return wanted if wanted != "auto" else "outliers"
    if not has_bf16():
        return "outliers"  # it would be emulated
    linear = costliest.module
    candidates = [_in_bfloat16(linear), quantized(linear, seen[costliest.path].outliers(), engine)]
    times = layer_times(costliest, candidates)
    return "bfloat16" if times is not None and times[0] <= times[1] else "outliers"


def _aim(subject: Subject, form: str) -> MaxDrop:
    """How near the answers must be."""
    cheap = form == "bfloat16"
    if subject.judged_by_user:
        return MaxDrop(_AIM if cheap else _AIM_WITH_SCORE)
    allowed = subject.max_drop.allowed(1.0)
    return MaxDrop(min(allowed, _AIM) if cheap else allowed)


def _spare(
    subject: Subject, draft: nn.Module, made: dict[str, nn.Module], seen: Mapping[str, Sensitivity], form: str,
    engine: str, progress: Progress,
) -> dict[str, list[int] | None]:  # fmt: skip
    """Put a finer form of the most sensitive layers into `made`, until the draft's answers are near enough.

    Returns:
        By path, the channels that stay in float32, or None for a layer that is in bfloat16 as a whole.
    """
    spared: dict[str, list[int] | None] = {}
    aim = _aim(subject, form)
    reference = subject.workload.outputs(subject.model)
    for number, limit in enumerate(_ERROR_LIMITS):
        progress.report(f"Quantizing {len(made)} layers", number / len(_ERROR_LIMITS))
        for path, each in seen.items():
            if each.error > limit and path not in spared:
                linear = subject.modules[path]
                spared[path] = None if form == "bfloat16" else each.outliers()
                made[path] = (
                    _in_bfloat16(linear) if form == "bfloat16" else quantized(linear, spared[path], engine)
                )
        quality = fidelity(reference, subject.workload.outputs(replace_modules_(draft, made)), aim)
        if quality.drop <= quality.max_drop:
            break
    return spared


def _fastest(layers: list[Layer], backend: str) -> tuple[str, str]:
    """Race on the costliest Linear: torch.ao's kernels against each other, and against torchao's, compiled.

    Returns:
        The backend and torch.ao's engine.
    """
    usual = engines()[0]
    linears = [layer for layer in layers if isinstance(layer.module, nn.Linear)]
    if backend == "torchao" or not linears:
        return backend if linears else "torch.ao", usual
    costliest = max(linears, key=lambda layer: layer.total_ms)
    call_ms = costliest.total_ms / costliest.calls
    if call_ms < _WORTH_RACING_MS:
        return "torch.ao", usual  # the guards of compiled code alone take this long
    candidates = [("torch.ao", engine, quantized(costliest.module, engine=engine)) for engine in engines()]
    # torchao has no dynamic LSTM or GRU
    if backend == "auto" and call_ms >= _WORTH_COMPILING_MS and len(linears) == len(layers):
        candidates.append(("torchao", usual, _torchao_layer(costliest.module)))
    with quiet():
        times = layer_times(costliest, [module for _, _, module in candidates])
    if times is None:
        return "torch.ao", usual
    handicap = [_WORTH_COMPILING if name == "torchao" else 1.0 for name, _, _ in candidates]
    best = min(range(len(times)), key=lambda i: times[i] * handicap[i])
    return candidates[best][0], candidates[best][1]


def _quantize_by_torchao_(module: nn.Module, wanted: frozenset[str]) -> None:
    with quiet():
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_  # noqa: PLC0415

        # its default sets five global inductor flags, and never puts them back
        config = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        quantize_(module, config, filter_fn=lambda _each, path: path in wanted)


def _torchao_layer(linear: nn.Module) -> nn.Module:
    holder = nn.Sequential(Draft(linear, weights="cloned").root)
    _quantize_by_torchao_(holder, frozenset({"0"}))
    holder.compile()
    return holder


def _with_torchao(draft: nn.Module, layers: list[Layer], progress: Progress) -> Change:
    progress.report("Quantizing by torchao", None)
    paths = [layer.path for layer in layers]
    if "" in paths:
        raise NotApplicable("torchao quantizes layers within a model, and this model is a bare layer.")
    _quantize_by_torchao_(draft, frozenset(paths))
    note = f"{counted(len(layers), 'layer')} by torchao, compiled"
    return Change(draft, note, {"backend": "torchao", "layers": paths}, compiled={})
