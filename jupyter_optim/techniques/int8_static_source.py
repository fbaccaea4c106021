"""`int8-static` as plain PyTorch source."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

from jupyter_optim.techniques.static_layers import ENGINE, WIDEST

_SOURCE = """\
import torch
from torch import nn

torch.backends.quantized.engine = {engine!r}

class StaticInt8(nn.Module):
    def __init__(self, layer, given, made):
        super().__init__()
        self.given, self.made, self.is_conv = given, made, isinstance(layer, nn.Conv2d)
        self.dims = layer.weight.dim()
        weight = layer.weight.detach()
        scales = (weight.flatten(1).abs().amax(1) / {widest}).clamp_min(1e-12).double()
        codes = (weight / scales.view(-1, *[1] * (weight.dim() - 1)).float()).round().clamp(-{widest}, {widest})
        zeros = torch.zeros_like(scales, dtype=torch.long)
        bias = None if layer.bias is None else layer.bias.detach()
        if self.is_conv:
            packed = torch._make_per_channel_quantized_tensor(codes.to(torch.int8), scales, zeros, 0)
            packed = packed.contiguous(memory_format=torch.channels_last)
            settings = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
            self.packed = torch.ops.quantized.conv2d_prepack(packed, bias, *settings)
        else:
            {prepack}

    def forward(self, x):
        if x.dim() < self.dims:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        codes = torch.quantize_per_tensor(x.detach(), *self.given, torch.quint8)
        if not self.is_conv:
            {multiply}
        found = torch.ops.quantized.conv2d(codes, self.packed, *self.made).dequantize()
        return {result}

# by layer: scale and zero point of its inputs and of its outputs
layers = {layers}
for path, (given, made) in layers.items():
    layer = StaticInt8(model.get_submodule(path), given, made)
    parent, _, name = path.rpartition(".")
    {put}
"""


_PREPACK, _MULTIPLY = (
    (
        "self.packed = torch.ops.onednn.qlinear_prepack(codes.to(torch.int8), None), scales.float(), zeros, bias",
        (
            "return torch.ops.onednn.qlinear_pointwise(\n"
            "                codes.int_repr().contiguous(), *self.given, *self.packed, 1.0, 0, torch.float32, 'none', [], ''\n"
            "            )"
        ),
    )
    if ENGINE == "onednn"
    else (
        (
            "packed = torch._make_per_channel_quantized_tensor(codes.to(torch.int8), scales, zeros, 0)\n"
            "            self.packed = torch.ops.quantized.linear_prepack(packed, bias)"
        ),
        "return torch.ops.quantized.linear(codes, self.packed, *self.made).dequantize()",
    )
)
"""A Linear's part: see `static_layers`."""


def source(facts: Mapping[str, Any]) -> str:
    """The change that `facts` describe, to a variable called ``model``."""
    grids = {
        path: tuple((each["scale"], each["zero"]) for each in both) for path, both in facts["layers"].items()
    }
    return _SOURCE.format(
        engine=ENGINE, widest=WIDEST, prepack=_PREPACK, multiply=_MULTIPLY, layers=pprint.pformat(grids, width=100, sort_dicts=False),
        result="found.contiguous() if x.is_contiguous() else found" if facts["contiguous"] else "found",
        put="model = layer" if "" in grids else "setattr(model.get_submodule(parent), name, layer)",
    )  # fmt: skip
