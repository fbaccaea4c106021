"""`int8-dynamic` as plain PyTorch source."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

_TORCHAO = """\
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

layers = set({layers!r})
config = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
quantize_(model, config, filter_fn=lambda module, path: path in layers)
model.compile()
"""

_LINEAR = """\
import torch
from torch import nn

class Int8Linear(nn.Module):
    def __init__(self, linear, outliers=()):
        super().__init__()
        weight = linear.weight.detach()
        self.out_features, self.outliers = linear.out_features, None
        if len(outliers):  # input channels that stay in float32
            self.outliers = torch.tensor(outliers)
            self.mask = torch.ones(linear.in_features).index_fill(0, self.outliers, 0)
            self.exact = weight[:, self.outliers].t().contiguous()
            weight = weight * self.mask
        scales = (weight.abs().amax(1) / 127).clamp_min(1e-12).double()
        zeros = torch.zeros_like(scales, dtype=torch.long)
        packed = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach()
        torch.backends.quantized.engine = {engine!r}
        self.packed = torch.ops.quantized.linear_prepack(packed, bias)

    @property
    def weight(self):  # for code that reads it
        weight = torch.ops.quantized.linear_unpack(self.packed)[0].dequantize()
        return weight if self.outliers is None else weight.index_copy(1, self.outliers, self.exact.t())

    @property
    def bias(self):
        return torch.ops.quantized.linear_unpack(self.packed)[1]

    def forward(self, x):
        x = x.detach()  # the kernel passes no gradients
        if self.outliers is None:
            return torch.ops.quantized.linear_dynamic(x, self.packed, {reduce_range})
        y = torch.ops.quantized.linear_dynamic(x * self.mask, self.packed, {reduce_range})
        apart = x.index_select(-1, self.outliers).flatten(0, -2)
        return y.view(-1, self.out_features).addmm_(apart, self.exact).view(y.shape)
"""

_RNN = """\
import torch.ao.nn.quantized.dynamic as dynamic
from torch.ao.quantization import default_dynamic_qconfig

def int8_rnn(rnn):
    rnn.qconfig = default_dynamic_qconfig
    return getattr(dynamic, type(rnn).__name__).from_float(rnn)
"""

_BFLOAT16 = """\
class Bf16Linear(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        bias = linear.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().bfloat16(), requires_grad=False)

    def forward(self, x):
        return nn.functional.linear(x.detach().bfloat16(), self.weight, self.bias).to(x.dtype)
"""

_REPLACE = """\
{lists}
for path in layers:
    parent, _, name = path.rpartition(".")
    layer = model.get_submodule(path)
    setattr(model.get_submodule(parent), name, {make})
"""

_ROOT = "model = {make}\n"


def source(facts: Mapping[str, Any]) -> str:
    """The change that `facts` describe, to a variable called ``model``."""
    layers: list[str] = facts["layers"]
    if facts["backend"] == "torchao":
        return _TORCHAO.format(layers=layers)
    outliers: dict[str, list[int]] = facts["outliers"]
    bfloat16: list[str] = facts["bfloat16"]
    rnn = bool(facts["recurrent"])
    parts = [_LINEAR.format(reduce_range=facts["reduce_range"], engine=facts["engine"])]
    parts += [_BFLOAT16] if bfloat16 else []
    parts += [_RNN] if rnn else []
    if layers == [""]:
        make = "Bf16Linear(model)" if bfloat16 else f"Int8Linear(model, {outliers.get('', [])!r})"
        return "\n".join([*([_RNN] if rnn else parts), _ROOT.format(make="int8_rnn(model)" if rnn else make)])
    lists = [_assigned("layers", layers)]
    make = "Int8Linear(layer)"
    if outliers:
        lists.append(_assigned("outliers", outliers))
        make = "Int8Linear(layer, outliers.get(path, ()))"
    if bfloat16:
        lists.append(_assigned("bfloat16", bfloat16))
        make = f"Bf16Linear(layer) if path in bfloat16 else {make}"
    if rnn:
        make = f"int8_rnn(layer) if isinstance(layer, nn.RNNBase) else {make}"
    return "\n".join([*parts, _REPLACE.format(lists="\n".join(lists), make=make)])


def _assigned(name: str, value: object) -> str:
    """``name = value``, over several lines if it is long."""
    text = pprint.pformat(value, width=100, compact=True)
    return f"{name} = {text}" if "\n" not in text else f"{name} = (\n{text}\n)"
