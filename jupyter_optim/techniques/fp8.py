"""`fp8`: Linear layers in 8-bit floating-point numbers on GPUs that multiply them, by torchao."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.packing import packable, weight_of
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique, counted
from jupyter_optim.techniques.weight_only import obstacle_to_packing

_CAPABILITY = (8, 9)
"""Ada; Hopper is 9.0 (CUDA C++ programming guide, compute capabilities)."""

_MULTIPLE = 16
"""Both sides of a weight must be one of it (`torch._scaled_mm`)."""


class Fp8(Technique):
    """Weights and activations as float8_e4m3fn, scaled at each call."""

    name = "fp8"
    family = "quantization"
    label = "Quantize to fp8"
    risk = "3 bits of mantissa in weights and activations: answers differ in the second digit."
    options = (
        Option(
            "granularity", "Scales", "tensor", choices=("tensor", "row"),
            help="One scale for a whole tensor, or one for each row: more exact, for bfloat16 models only.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or _no_hardware(subject) or obstacle_to_packing(subject)
        layers = [] if reason else _layers(subject)
        if reason is None and not layers:
            reason = (
                f"it has no Linear layer of its own in 16 or 32 bits, both sides multiples of {_MULTIPLE}"
            )
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        model = self.transform(
            Draft(subject.model).root, subject, self.parse_options({}), subject.progress
        ).model
        share = min(1.0, sum(layer.share for layer in layers))
        prediction = replace(rehearse_draft(subject, model), covers_share=share)
        packed = sum(weight_of(layer).nbytes - weight_of(layer).numel() for layer in layers)
        return Assessment(
            applies=True, reason=f"{counted(len(layers), 'Linear layer')} on this GPU's fp8 tensor cores.",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=1 - packed / (subject.report.memory.weights_bytes or packed),
            method=prediction.method,
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        layers = _layers(subject)
        progress.report(f"Quantizing {counted(len(layers), 'layer')} by torchao", None)
        by_row = options["granularity"] == "row"
        wanted = frozenset(layer.path for layer in layers)
        with quiet():
            from torchao.quantization import (  # noqa: PLC0415 (2 s)
                Float8DynamicActivationFloat8WeightConfig,
                PerRow,
                PerTensor,
                quantize_,
            )

            config = Float8DynamicActivationFloat8WeightConfig(
                granularity=PerRow() if by_row else PerTensor(), set_inductor_config=False
            )
            quantize_(draft, config, filter_fn=lambda _each, path: path in wanted)
        note = f"{counted(len(layers), 'Linear layer')} in float8_e4m3fn by torchao"
        return Change(draft, note, {"layers": sorted(wanted)})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        granularity = "PerRow" if options["granularity"] == "row" else "PerTensor"
        return f"""\
from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, {granularity}, quantize_

layers = set({facts["layers"]!r})
config = Float8DynamicActivationFloat8WeightConfig(granularity={granularity}(), set_inductor_config=False)
quantize_(model, config, filter_fn=lambda module, path: path in layers)
"""


def _layers(subject: Subject) -> list[Layer]:
    return [
        layer
        for layer in packable(subject, (nn.Linear,))
        if layer.path and all(side % _MULTIPLE == 0 for side in weight_of(layer).shape)
    ]


def _no_hardware(subject: Subject) -> str | None:
    device = subject.workload.device
    needed = "fp8 arithmetic needs an NVIDIA GPU of compute capability 8.9 or more (Ada, Hopper, or later)"
    if device.type != "cuda":
        return f"{needed}, and it ran on the {device.type.upper()}"
    capability = torch.cuda.get_device_capability(device)
    if capability < _CAPABILITY:
        return f"{needed}, and this one has {capability[0]}.{capability[1]}"
    return None
