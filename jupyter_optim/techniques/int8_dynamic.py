"""`int8-dynamic`: Linear, LSTM and GRU layers with int8 weights; no calibration data needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim.errors import NotApplicable
from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.progress import Progress
from jupyter_optim.quality import fidelity
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.int8_layers import quantized_linear, quantized_rnn
from jupyter_optim.techniques.int8_source import source
from jupyter_optim.techniques.quiet import quiet
from jupyter_optim.techniques.rehearse import layer_times, rehearse_layers
from jupyter_optim.techniques.replace import replace_modules_
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique

_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.LSTM, nn.GRU)
_WORTH_RACING_MS = 0.5

_OUTLIER_STEPS: tuple[tuple[float, int], ...] = ((float("inf"), 0), (3.0, 16), (2.0, 32))
"""How far to go in keeping outlier channels in float32: above so many times the median, so many at most."""


class Int8Dynamic(Technique):
    """Weights in int8, a scale for each output channel; activations quantized at each call."""

    name = "int8-dynamic"
    family = "quantization"
    label = "Quantize to int8"
    risk = "8-bit weights and activations: answers differ in the second or third digit."
    options = (
        Option(
            "backend", "Kernels", "auto", choices=("auto", "torch.ao", "torchao"),
            help="auto times both on the costliest layer; torchao needs torch.compile, and so half a minute.",
        ),
        Option(
            "outliers", "Outlier channels", "auto", choices=("auto", "keep", "quantize"),
            help="Input channels much larger than the others, in float32. auto: only as far as quality needs it.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or self._obstacle(subject)
        layers = [] if reason else self.layers(subject)
        if reason is None and not layers:
            reason = self._nothing(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        prediction = rehearse_layers(subject, layers, lambda module, _layer: quantized(module))
        size = sum(p.numel() * 4 for layer in layers for p in layer.module.parameters())
        total = subject.report.memory.weights_bytes or 1
        kinds = ", ".join(sorted({type(layer.module).__name__ for layer in layers}))
        return Assessment(
            applies=True, reason=f"{len(layers)} {kinds} layers compute with 8-bit numbers, a quarter of the bytes.",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=max(0.0, 1 - 0.75 * size / total), method=prediction.method,
        )  # fmt: skip

    def _obstacle(self, subject: Subject) -> str | None:
        if subject.training:
            return "it was called in train mode, and int8 layers pass no gradients: call `model.eval()` first"
        if subject.workload.device.type != "cpu":
            return "torch's dynamic int8 kernels run on the CPU only"
        if subject.workload.mode.autocast:
            return "it runs under autocast, and int8 layers take float32 only"
        return None

    def _nothing(self, subject: Subject) -> str:
        if any(isinstance(m, _KINDS) for m in subject.modules.values()):
            return (
                "its Linear, LSTM or GRU layers are not float32, or their weights are used without calling the "
                "layer (as nn.MultiheadAttention and the fast path of nn.TransformerEncoder do)"
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
        backend = options["backend"]
        if backend == "auto":
            backend = _faster_backend(layers, progress)
        if backend == "torchao":
            return _with_torchao(draft, layers, progress)
        amax = _channel_maxima(subject, layers) if options["outliers"] != "quantize" else {}
        steps = _OUTLIER_STEPS if options["outliers"] == "auto" else _OUTLIER_STEPS[-1:]
        if options["outliers"] == "quantize" or not amax:
            steps = _OUTLIER_STEPS[:1]
        reference = subject.workload.outputs(subject.model) if len(steps) > 1 else None
        kept: dict[str, list[int]] = {}
        for number, (threshold, most) in enumerate(steps):
            progress.report(f"Quantizing {len(layers)} layers", number / len(steps))
            kept = {path: _outliers(maxima, threshold, most) for path, maxima in amax.items()}
            made = {layer.path: quantized(layer.module, kept.get(layer.path)) for layer in layers}
            draft = replace_modules_(draft, made)
            # The user's own score is the judge where there is one; it comes after this
            if reference is None or subject.judged_by_user or _is_like(subject, draft, reference):
                break
        exact = sum(map(len, kept.values()))
        note = f"{len(layers)} layers by torch.ao's kernels" + (
            f", {exact} outlier channels in float32" if exact else ""
        )
        facts = {
            "backend": "torch.ao", "layers": [layer.path for layer in layers], "outliers": kept,
            "recurrent": [layer.path for layer in layers if isinstance(layer.module, nn.RNNBase)],
            "reduce_range": not has_vnni(),
        }  # fmt: skip
        return Change(draft, note, facts)

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts)


def quantized(module: nn.Module, outliers: list[int] | None = None) -> nn.Module:
    """The int8 form of a Linear, LSTM or GRU."""
    if isinstance(module, nn.Linear):
        return quantized_linear(module, torch.tensor(outliers) if outliers else None)
    return quantized_rnn(module)  # type: ignore[arg-type]


def _is_float32(module: nn.Module) -> bool:
    plain = not isinstance(module, nn.RNNBase) or (module.proj_size == 0 and module.bias)
    # hooks of the user and parametrizations would be lost with the layer
    hooked = module._forward_hooks or module._forward_pre_hooks
    return plain and not hooked and all(p.dtype == torch.float32 for p in module.parameters())


def _read_directly(subject: Subject) -> frozenset[str]:
    """Paths of layers whose weights the model reads itself: nn.MultiheadAttention's, and tied or bypassed ones."""
    found: set[str] = set()
    for path, module in subject.modules.items():
        if isinstance(module, nn.MultiheadAttention | nn.TransformerEncoderLayer):
            prefix = f"{path}." if path else ""
            names = ["out_proj"] if isinstance(module, nn.MultiheadAttention) else []
            found.update(prefix + name for name in names)
    return frozenset(found)


def _outliers(maxima: torch.Tensor, threshold: float, most: int) -> list[int]:
    """Channels whose largest value is above `threshold` times the median one's; the largest `most` of them."""
    above = torch.nonzero(maxima > threshold * maxima.median()).flatten()
    if len(above) > most:
        above = maxima.topk(most).indices if most else above[:0]
    return sorted(above.tolist())


def _channel_maxima(subject: Subject, layers: list[Layer]) -> dict[str, torch.Tensor]:
    """For each Linear: the largest magnitude of each input channel over the workload's inputs."""
    paths = {layer.module: layer.path for layer in layers if isinstance(layer.module, nn.Linear)}
    maxima: dict[str, torch.Tensor] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if module in paths and args and isinstance(args[0], torch.Tensor) and args[0].numel():
            largest = args[0].detach().abs().reshape(-1, args[0].shape[-1]).amax(0)
            path = paths[module]
            maxima[path] = torch.maximum(maxima[path], largest) if path in maxima else largest

    handle = hooks.register_module_forward_pre_hook(note)
    try:
        subject.workload.outputs(subject.model)
    finally:
        handle.remove()
    return maxima


def _is_like(subject: Subject, draft: nn.Module, reference: Any) -> bool:
    quality = fidelity(reference, subject.workload.outputs(draft), subject.max_drop)
    return quality.drop <= quality.max_drop


def _faster_backend(layers: list[Layer], progress: Progress) -> str:
    """Race both on the costliest Linear: torch.ao's kernel against torchao's, compiled."""
    linears = [layer for layer in layers if isinstance(layer.module, nn.Linear)]
    if not linears or len(linears) < len(layers):
        return "torch.ao"  # torchao has no dynamic LSTM or GRU
    costliest = max(linears, key=lambda layer: layer.total_ms)
    if costliest.total_ms / costliest.calls < _WORTH_RACING_MS:
        return "torch.ao"  # the guards of compiled code alone take this long
    progress.report("Racing torch.ao against torchao on the costliest layer", None)
    with quiet():
        times = layer_times(costliest, [quantized(costliest.module), _torchao_layer(costliest.module)])
    # torchao's whole-model compile takes half a minute: it must be worth it
    return "torchao" if times is not None and times[1] < 0.9 * times[0] else "torch.ao"


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
    note = f"{len(layers)} layers by torchao, compiled"
    return Change(draft, note, {"backend": "torchao", "layers": paths}, compiled={})
