"""`prune-2:4`: of each four consecutive weights of a Linear, two become zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.progress import Progress
from jupyter_optim.techniques.input_moments import Moments, moments_of
from jupyter_optim.techniques.matrices import is_matrix, matrix_of
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique, counted

_HALVES = (torch.float16, torch.bfloat16)
_ROWS, _COLUMNS = 32, 64
"""What the sparse kernels want the weight's shape to be multiples of, in 16 bits."""


class Prune24(Technique):
    """Zero two of each four weights, the pattern of sparse tensor cores (NVIDIA, arXiv 2104.08378).

    By the inputs, a weight counts by its magnitude times the root mean square of its input (Wanda, arXiv 2306.11695).
    """

    name = "prune-2:4"
    family = "pruning"
    label = "Zero 2 of 4 weights"
    risk = "Half of the weights of each Linear are lost. It saves time only on GPUs with sparse tensor cores, in 16 bits."
    weights = "cloned"
    options = (
        Option(
            "by", "By", "inputs", choices=("inputs", "weights"),
            help="inputs: a weight counts by what it multiplies on this run; weights: by its magnitude alone.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        layers = [] if subject.obstacle else _layers(subject)
        reason = subject.obstacle
        if reason is None and not layers:
            reason = "it has no Linear layer, called as a layer, whose inputs are a multiple of 4"
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        share = min(1.0, sum(layer.share for layer in layers))
        compressed = [layer for layer in layers if _has_sparse_kernel(layer.module)]
        if not compressed:
            return Assessment(
                applies=True,
                reason=f"It saves no time and no memory by itself here: {_why_dense(subject)}. It shows whether the model "
                "bears the pattern that GPUs with sparse tensor cores are fast with.",
                covers_share=share, predicted_speedup=1.0, predicted_size_ratio=1.0,
                method="known: dense kernels take the same time for zeros",
            )  # fmt: skip
        # half of the values, and two bits to place each
        saved = sum(matrix_of(layer.module).nbytes * (1 - 9 / 16) for layer in compressed)
        return Assessment(
            applies=True,
            reason=f"{counted(len(compressed), 'layer')} on sparse tensor cores, which skip the zeros.",
            covers_share=share, predicted_speedup=None,
            predicted_size_ratio=1 - saved / (subject.report.memory.weights_bytes or 1),
            method="size from the format; time is not predicted",
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        paths = [layer.path for layer in _layers(subject)]
        progress.report("Looking at what the layers get", None)
        moments = moments_of(subject, paths) if options["by"] == "inputs" else {}
        sparse = []
        for number, path in enumerate(paths):
            progress.report(f"Zeroing weights of {len(paths)} layers", number / len(paths))
            layer = draft.get_submodule(path)
            weight = layer._parameters["weight"]
            assert weight is not None  # `is_matrix` looked
            with torch.no_grad():
                weight.mul_(mask_of(weight, moments.get(path)))
            if _has_sparse_kernel(layer):
                packed = torch.sparse.to_sparse_semi_structured(weight.detach())
                layer._parameters["weight"] = nn.Parameter(packed, requires_grad=False)
                sparse.append(path)
        form = f"{len(sparse)} of them for sparse tensor cores" if sparse else "as dense as before"
        note = f"half of the weights of {counted(len(paths), 'layer')} set to zero, {form}"
        return Change(draft, note, {"layers": paths, "sparse": sparse})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        by_inputs = options["by"] == "inputs"
        packing = ""
        if facts["sparse"]:
            packing = f"""
for path in {facts["sparse"]!r}:
    layer = model.get_submodule(path)
    packed = torch.sparse.to_sparse_semi_structured(layer.weight.detach())
    layer.weight = torch.nn.Parameter(packed, requires_grad=False)
"""
        return f"""\
import torch

layers = {facts["layers"]!r}
{_SQUARES if by_inputs else ""}
with torch.no_grad():
    for path in layers:
        weight = model.get_submodule(path).weight
        score = weight.abs().float(){" * (squares[path] / rows[path]).sqrt().float()" if by_inputs else ""}
        best = score.view(-1, 4).topk(2).indices  # the larger two of each four stay
        weight.mul_(torch.zeros_like(weight).view(-1, 4).scatter_(1, best, 1).view_as(weight))
{packing}"""


def mask_of(weight: torch.Tensor, moments: Moments | None) -> torch.Tensor:
    """Ones for the two of each four inputs of a row that count most, zeros for the others."""
    score = weight.detach().abs().float()
    if moments is not None:
        score = score * moments.squares.sqrt().float()
    best = score.view(-1, 4).topk(2).indices
    return torch.zeros_like(weight).view(-1, 4).scatter_(1, best, 1).view_as(weight)


def _layers(subject: Subject) -> list[Layer]:
    return [
        layer
        for layer in subject.layers([nn.Linear])
        if is_matrix(layer.module)
        and matrix_of(layer.module).shape[1] % 4 == 0
        and matrix_of(layer.module).is_floating_point()
        and matrix_of(layer.module).is_contiguous()
    ]


def _has_sparse_kernel(layer: nn.Module) -> bool:
    weight = layer._parameters["weight"]
    return (
        weight is not None
        and weight.is_cuda
        and weight.dtype in _HALVES
        and torch.cuda.get_device_capability(weight.device) >= (8, 0)
        and weight.shape[0] % _ROWS == 0
        and weight.shape[1] % _COLUMNS == 0
    )


def _why_dense(subject: Subject) -> str:
    if subject.workload.device.type != "cuda":
        return "only GPUs have kernels that skip the zeros, and this model is on the CPU"
    if torch.cuda.get_device_capability(subject.workload.device) < (8, 0):
        return "this GPU has no sparse tensor cores, which came with compute capability 8.0"
    return "sparse tensor cores take 16-bit weights of at least 32 x 64 (apply bf16 or fp16 first)"


_SQUARES = """\
rows, squares = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0.0)


def watch(path):
    def note(layer, inputs):
        x = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float()
        rows[path] += len(x)
        squares[path] = squares[path] + x.double().square().sum(0)

    return model.get_submodule(path).register_forward_pre_hook(note)


handles = [watch(path) for path in layers]
with torch.no_grad():  # example_inputs: a tuple of the model's inputs, or a dict
    model(**example_inputs) if isinstance(example_inputs, dict) else model(*example_inputs)
for handle in handles:
    handle.remove()
"""
