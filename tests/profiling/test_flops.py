"""Costs of ops: worked out by hand, on traces of the real ops."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (as everyone calls it)
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from jupyter_optim.profiling.ops.flops import Cost, OpSignature, cost_of, counted, innermost
from jupyter_optim.profiling.ops.formulas.sequences import ATTENTION, AttentionInputs

PRODUCTS = {"matmul", "conv", "attention", "rnn"}
ANY: Any = ...
"""A figure that the row does not look at."""


class Recorded(NamedTuple):
    """The ops of a trace, each with its cost and whether it counts."""

    ops: list[OpSignature]
    costs: list[Cost]
    counts: list[bool]

    def flops(self, *kinds: str) -> int:
        rows = zip(self.costs, self.counts, strict=True)
        return sum(cost.flops or 0 for cost, yes in rows if yes and (not kinds or cost.kind in kinds))

    def of(self, name: str) -> list[Cost]:
        rows = zip(self.ops, self.costs, self.counts, strict=True)
        return [cost for op, cost, yes in rows if yes and op.name == name]


def record(run: Callable[[], object], folder: Path) -> Recorded:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.autograd.profiler.profile(use_kineto=True, use_cpu=True, record_shapes=True) as profiler:
        run()
    profiler.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    events = [event for event in events if event.get("ph") == "X" and event.get("cat") == "cpu_op"]
    events.sort(key=lambda event: (event["tid"], event["ts"], -event["dur"]))
    parent, around = [], []
    for row, event in enumerate(events):
        while around and not (
            events[around[-1]]["tid"] == event["tid"]
            and event["ts"] < events[around[-1]]["ts"] + events[around[-1]]["dur"]
        ):
            around.pop()
        parent.append(around[-1] if around else -1)
        around.append(row)
    args = [event.get("args", {}) for event in events]
    ops = [
        OpSignature.of(
            event["name"], arg.get("Input Dims"), arg.get("Input type"), arg.get("Concrete Inputs")
        )
        for event, arg in zip(events, args, strict=True)
    ]
    costs = [cost_of(op) for op in ops]
    rank = np.array([cost.rank for cost in costs], np.int64)
    return Recorded(ops, costs, counted(rank, np.array(parent, np.int64)).tolist())


class Row(NamedTuple):
    """`run` on random tensors of these shapes: the op that counts, its sums, and the sum over all ops."""

    name: str
    run: Callable[..., object]
    shapes: list[tuple[int, ...]]
    op: str
    flops: int | None
    bytes: int | None
    total: int = ANY
    dtype: torch.dtype = torch.float32


def math(*args: torch.Tensor, **options: Any) -> torch.Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(*args, **options)


def integers(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.long)


sdpa = F.scaled_dot_product_attention
bf16, double, int8 = torch.bfloat16, torch.float64, torch.int8
Q, KV = (2, 4, 16, 8), (2, 4, 12, 8)
IMAGE = (2, 6, 8, 8)

BF16_CONVOLUTION = (
    "aten::mkldnn_convolution"
    if torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else "aten::_slow_conv2d_forward"
)
"""On a CPU without AVX-512, PyTorch has its own for bfloat16."""

TABLE = [
    # matrix products: 2 x rows x inner x columns; bytes of bias, both factors, result
    Row("linear", F.linear, [(4, 8), (16, 8), (16,)], "aten::addmm", 1024, 960, 1024),
    Row("linear of bf16", F.linear, [(4, 8), (16, 8), (16,)], "aten::addmm", 1024, 480, 1024, bf16),
    Row("linear, no bias, 3 axes", F.linear, [(2, 4, 8), (16, 8)], "aten::mm", 2048, 1280, 2048),
    Row("mm of doubles", torch.mm, [(4, 5), (5, 6)], "aten::mm", 240, 592, 240, double),
    Row("mm of complex", torch.mm, [(4, 5), (5, 6)], "aten::mm", 960, 592, 960, torch.complex64),
    Row("mm of int8", torch.mm, [(4, 5), (5, 6)], "aten::mm", 240, 74, 240, int8),
    Row("mm of int8 to int32", torch._int_mm, [(32, 32)] * 2, "aten::_int_mm", 65536, 6144, 65536, int8),
    Row("bmm", torch.matmul, [(3, 4, 5), (3, 5, 6)], "aten::bmm", 720, 888, 720),
    Row("matmul, folded", torch.matmul, [(2, 3, 4, 5), (5, 6)], "aten::mm", 1440, 1176, 1440),
    Row("matmul, broadcast", torch.matmul, [(2, 3, 4, 5), (3, 5, 6)], "aten::bmm", 1440, 1776, 1440),
    Row("mv", torch.mv, [(4, 5), (5,)], "aten::addmv_", 40, 132, 40),
    Row("dot", torch.dot, [(5,), (5,)], "aten::dot", 10, 44, 10),
    Row("einsum", lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(3, 4, 5), (3, 5, 6)], "aten::bmm", 720, 888),
    Row("baddbmm", torch.baddbmm, [(6,), (3, 4, 5), (3, 5, 6)], "aten::baddbmm", 720, 912, 720),
    Row("addbmm", torch.addbmm, [(6,), (3, 4, 5), (3, 5, 6)], "aten::addmm_", 720, 1176, 720),
    # convolutions: 2 x batch x points x numbers in the weight
    Row(
        "conv1d", lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1, groups=2),
        [(2, 4, 20), (6, 2, 3), (6,)], "aten::mkldnn_convolution", 1440, 1288, 1440,
    ),
    Row(
        "conv2d, dilated, groups", lambda x, w, b: F.conv2d(x, w, b, 2, 1, 2, 2),
        [(2, 4, 20, 20), (6, 2, 3, 3), (6,)], "aten::mkldnn_convolution", 34992, 17144, 34992,
    ),
    Row(
        "conv2d of bf16", lambda x, w: F.conv2d(x, w, None, 2, "valid"),
        [(2, 4, 20, 20), (6, 4, 3, 3)], BF16_CONVOLUTION, 69984, 8776, 69984, bf16,
    ),
    Row(
        "conv2d, padded unevenly", lambda x, w: F.conv2d(x, w, None, 1, "same"),
        [(2, 4, 20, 20), (6, 4, 4, 4)], "aten::mkldnn_convolution", 614400, ANY, 614400,
    ),
    Row("conv2d, depthwise", lambda x, w: F.conv2d(x, w, groups=4), [(1, 4, 20, 20), (4, 1, 3, 3)],
        "aten::mkldnn_convolution", 23328, 11728, 23328),
    Row("conv2d, no batch", F.conv2d, [(4, 20, 20), (4, 4, 3, 3)], "", ANY, ANY, 93312),
    Row("conv2d of doubles, by groups", lambda x, w: F.conv2d(x, w, groups=2), [(2, 4, 8, 8), (6, 2, 3, 3)],
        "aten::_slow_conv2d_forward", 15552, ANY, 15552, double),
    Row("conv2d of doubles, dilated", lambda x, w: F.conv2d(x, w, dilation=2), [(1, 2, 8, 8), (3, 2, 2, 2)],
        "aten::slow_conv_dilated2d", 1728, 2080, 1728, double),
    Row("conv3d", F.conv3d, [(2, 4, 5, 6, 7), (6, 4, 2, 2, 2)], "aten::mkldnn_convolution", 92160, 13248, 92160),
    Row("conv3d of doubles", F.conv3d, [(1, 2, 4, 4, 4), (3, 2, 2, 2, 2), (3,)],
        "aten::slow_conv3d_forward", 2592, 2080, 2592, double),
    Row(
        "conv_transpose2d, groups", lambda x, w: F.conv_transpose2d(x, w, None, 2, 1, 1, 2),
        [(2, 4, 5, 5), (4, 3, 3, 3)], "aten::_convolution", 10800, 6032, 10800,
    ),
    Row("conv_transpose1d of doubles", lambda x, w: F.conv_transpose1d(x, w, stride=2), [(2, 4, 5), (4, 3, 3)],
        "aten::slow_conv_transpose2d", 720, 1136, 720, double),
    Row(
        "conv2d, as compiled",
        lambda x, w: torch.ops.mkldnn._convolution_pointwise(x, w, None, [1, 1], [2, 2], [1, 1], 1, "relu", [], ""),
        [(1, 4, 8, 8), (6, 4, 3, 3)], "mkldnn::_convolution_pointwise", 6912, 2272, 6912,
    ),
    # attention: 2 x pairs x (size of query + size of value); causal: 136 of 16 x 16 pairs
    Row("flash", sdpa, [Q, KV, KV], "aten::_scaled_dot_product_flash_attention_for_cpu", 49152, 14336, 49152),
    Row("flash of bf16", sdpa, [Q, KV, KV],
        "aten::_scaled_dot_product_flash_attention_for_cpu", 49152, 7168, 49152, bf16),
    Row("flash, mask", sdpa, [Q, KV, KV, (16, 12)],
        "aten::_scaled_dot_product_flash_attention_for_cpu", 49152, 15104, 49152),
    Row("flash, causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), [Q, Q, Q],
        "aten::_scaled_dot_product_flash_attention_for_cpu", 34816, 16384, 34816),
    Row("flash, shared keys", lambda q, k, v: sdpa(q, k, v, enable_gqa=True), [Q, (2, 2, 12, 8), (2, 2, 12, 8)],
        "aten::_scaled_dot_product_flash_attention_for_cpu", 49152, 11264, 49152),
    Row("math", math, [Q, KV, KV], "aten::bmm", 49152, ANY),
    Row("math of bf16", math, [Q, KV, KV], "aten::bmm", 49152, ANY, ANY, bf16),
    # a causal mask does not spare the math backend anything
    Row("math, causal", lambda q, k, v: math(q, k, v, is_causal=True), [Q, Q, Q], "aten::bmm", 65536, ANY),
    # lookups: index, rows read, rows written
    Row("embedding", lambda w: F.embedding(integers(2, 5), w), [(10, 4)], "aten::index_select", 0, 400, 0),
    Row("bags, sum", lambda w: F.embedding_bag(integers(6), w, torch.tensor([0, 3]), mode="sum"), [(10, 4)],
        "aten::_embedding_bag_forward_only", 24, 192),
    Row("bags, mean", lambda w: F.embedding_bag(integers(3, 2), w, mode="mean"), [(10, 4)],
        "aten::_embedding_bag_forward_only", 36, 216),
    Row("index_select", lambda x: x.index_select(0, integers(3)), [(4, 8)], "aten::index_select", 0, 216),
    Row("gather", lambda x: x.gather(1, integers(4, 2)), [(4, 8)], "aten::gather", 0, 128),
    Row("scatter_add_", lambda x, y: x.scatter_add_(1, integers(4, 2), y), [(4, 8), (4, 2)],
        "aten::scatter_add_", 8, 160),
    Row("index_add_", lambda x, y: x.index_add_(0, integers(3), y), [(4, 8), (3, 8)], "aten::scatter_add_", 24, 480),
    Row("index, by a tensor", lambda x: x[integers(3)], [(4, 8)], "", ANY, ANY, 0),
    # norms: 6 an element, 1 for a weight, 1 for a bias; 2 with fixed statistics; softmax 5
    Row("layer_norm", lambda x, w, b: F.layer_norm(x, (8,), w, b), [(4, 8), (8,), (8,)],
        "aten::native_layer_norm", 256, 320, 256),
    Row("layer_norm, bare", lambda x: F.layer_norm(x, (8,)), [(4, 8)], "aten::native_layer_norm", 192, 256),
    Row("rms_norm, composed", lambda x, w: F.rms_norm(x, (8,), w), [(4, 8), (8,)], "aten::mul", 64, 560, 140),
    Row("group_norm", lambda x: F.group_norm(x, 3), [IMAGE], "aten::native_group_norm", 4608, 6144, 4608),
    Row("batch_norm, training", lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, training=True),
        [IMAGE, (6,), (6,), (6,), (6,)], "aten::native_batch_norm", 6144, 6288, 6144),
    Row("batch_norm", F.batch_norm, [IMAGE, (6,), (6,), (6,), (6,)], "aten::native_batch_norm", 1536, 6240, 1536),
    Row("softmax", lambda x: x.softmax(-1), [(4, 8)], "aten::_softmax", 160, 256, 160),
    Row("log_softmax", lambda x: x.log_softmax(-1), [(4, 8)], "aten::_log_softmax", 160, 256, 160),
    # one operation an element
    Row("gelu", F.gelu, [(4, 8)], "aten::gelu", 32, 256, 32),
    Row("relu of bf16", F.relu, [(4, 8)], "aten::clamp_min", 32, 128, 32, bf16),
    Row("add, broadcast", torch.add, [(4, 8), (8,)], "aten::add", 32, 288, 32),
    # a Python number goes through an op of the same name, with a double that has no axes
    Row("mul by a number", lambda x: x * 2.5, [(4, 8)], "aten::mul", 32, 264, 32),
    Row("add_", lambda x, y: x.add_(y), [(4, 8), (4, 8)], "aten::add_", 32, 384, 32),
    Row("gt", torch.gt, [(4, 8), (4, 8)], "aten::gt", 32, 288, 32),
    Row("where", lambda x: torch.where(integers(4, 8) == 0, x, x), [(4, 8)], "aten::where", 32, 416),
    Row("clamp", lambda x: x.clamp(max=1.0), [(4, 8)], "aten::clamp", 32, 256, 32),
    Row("add of int64", torch.add, [(4, 8), (4, 8)], "aten::add", 32, 768, 32, torch.int64),
    Row("add of two types", lambda x: x + x.bfloat16(), [(4, 8)], "aten::add", 32, 320, 32),
    Row("addcmul", torch.addcmul, [(4, 8)] * 3, "aten::addcmul", 64, 512, 64),
    Row("dropout", F.dropout, [(4, 8)], "aten::mul", 32, 384, 96),
    Row("glu", F.glu, [(4, 8)], "aten::glu", 32, 192, 32),
    # copies
    Row("cat", lambda x: torch.cat([x, x]), [(4, 8)], "aten::cat", 0, None, 0),
    Row("to bf16", torch.Tensor.bfloat16, [(4, 8)], "aten::copy_", 0, 192, 0),
    Row("contiguous", lambda x: x.t().contiguous(), [(4, 8)], "aten::copy_", 0, 256, 0),
    Row("reshape that copies", lambda x: x.t().reshape(-1), [(4, 8)], "aten::copy_", 0, 256, 0),
    # reductions
    Row("sum", lambda x: x.sum(0), [(4, 8)], "aten::sum", 32, 160, 32),
    Row("sum of int8", torch.sum, [(4, 8)], "aten::sum", 32, 40, 32, int8),
    Row("mean", lambda x: x.mean(1), [(4, 8)], "aten::sum", 32, 144, 36),
    Row("max with places", lambda x: x.max(1), [(4, 8)], "aten::max", 32, 176, 32),
    Row("argmax", lambda x: x.argmax(1), [(4, 8)], "aten::argmax", 32, 160, 32),
    Row("std", torch.std, [(4, 8)], "aten::std", 128, 132, 128),
    Row("norm", torch.linalg.vector_norm, [(4, 8)], "aten::linalg_vector_norm", 64, 132, 64),
    Row("cumsum", lambda x: x.cumsum(1), [(4, 8)], "aten::cumsum", 32, 256, 32),
    Row("mse_loss", F.mse_loss, [(4, 8), (4, 8)], "aten::mse_loss", 96, 260, 96),
    Row("cross_entropy", lambda x: F.cross_entropy(x, integers(4)), [(4, 8)], "aten::nll_loss_forward", 4, 52, 164),
    # windows: 2 x 6 channels; 3 adapted windows of 8 are 3, 4 and 3 long
    Row("max_pool2d", lambda x: F.max_pool2d(x, 2), [IMAGE], "aten::max_pool2d_with_indices", 768, 5376, 768),
    Row("max_pool2d, rounded up", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), [IMAGE],
        "aten::max_pool2d_with_indices", 2700, 6672, 2700),
    Row("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1), [IMAGE], "aten::avg_pool2d", 1728, 3840, 1728),
    Row("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 3), [IMAGE],
        "aten::_adaptive_avg_pool2d", 1200, 3504, 1200),
    Row("nearest", lambda x: F.interpolate(x, scale_factor=2), [IMAGE], "aten::upsample_nearest2d", 0, 15360, 0),
    Row("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [IMAGE],
        "aten::upsample_bilinear2d", 21504, 15360, 21504),
    # 5 N log2 N, half for real data
    Row("rfft", torch.fft.rfft, [(4, 8)], "aten::_fft_r2c", 240, 288, 240),
    Row("fft2", torch.fft.fft2, [IMAGE], "aten::_fft_c2c", 23040, 12288, 23040, torch.complex64),
    # recurrent nets: 2 x steps x batch x numbers in the weights
    Row("LSTM", nn.LSTM(6, 5), [(4, 3, 6)], "aten::mkldnn_rnn_layer", 5280, 1808, 5280),
    Row("LSTM, two layers, both ways", nn.LSTM(6, 5, 2, bidirectional=True), [(4, 3, 6)],
        "aten::mkldnn_rnn_layer", 24960, ANY, 24960),
    Row("LSTM of doubles", nn.LSTM(6, 5).double(), [(4, 3, 6)], "aten::addmm", 5280, ANY, ANY, double),
    Row("RNN", nn.RNN(8, 4), [(3, 2, 8)], "aten::addmm", 576, ANY),
]  # fmt: skip


def tensor(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(shape, dtype=dtype)
    return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_the_cost_is_what_one_works_out_by_hand(row: Row, tmp_path: Path) -> None:
    inputs = [tensor(shape, row.dtype) for shape in row.shapes]
    with torch.no_grad():
        found = record(lambda: row.run(*inputs), tmp_path)

    costs = found.of(row.op)
    if row.op:
        assert costs, f"{row.op} does not count among {[op.name for op in found.ops]}"
    if row.flops is not ANY:
        assert sum(cost.flops or 0 for cost in costs) == row.flops
    if row.bytes is None:
        assert {cost.bytes for cost in costs} == {None}
    elif row.bytes is not ANY:
        assert sum(cost.bytes or 0 for cost in costs) == row.bytes
    if row.total is not ANY:
        assert found.flops() == row.total


def test_gru_and_its_gates_are_composed(tmp_path: Path) -> None:
    model, x = nn.GRU(6, 5), torch.randn(4, 3, 6)
    found = record(lambda: model(x), tmp_path)
    # the input's part in one product, 12 rows; the state's in 4 steps of 3 rows
    assert found.flops("matmul") == 2 * 12 * 6 * 15 + 4 * 2 * 3 * 5 * 15
    # each step: the gates' 3 additions, 2 sigmoids, 2 products, a tanh, a subtraction and an addition
    assert found.flops("elementwise") == 4 * 10 * 3 * 5


def test_the_fast_path_of_the_encoder_counts_all_its_products(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    x = torch.randn(2, 8, 32)
    with torch.no_grad():
        fast = record(lambda: layer(x), tmp_path)
        attention = record(lambda: layer.self_attn(x, x, x, need_weights=False), tmp_path)
    assert "aten::_transformer_encoder_layer_fwd" in {op.name for op in fast.ops}
    assert "aten::_native_multi_head_attention" in {op.name for op in attention.ops}
    # in: 16 x 32 x 96; scores and values: 8 heads of 8 x 8 x 8; out: 16 x 32 x 32; all doubled
    assert attention.flops("matmul") == 98304 + 8192 + 8192 + 32768 == 147456
    # and 16 x 32 x 64 twice
    assert fast.flops("matmul") == 147456 + 65536 + 65536
    assert [cost.flops for cost in fast.of("aten::native_layer_norm")] == [8 * 512, 8 * 512]


def test_the_weights_of_a_quantized_layer_are_not_in_the_trace(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 16)), {nn.Linear})
    x = torch.randn(4, 8)
    found = record(lambda: model(x), tmp_path)
    at = [op.name for op in found.ops].index("quantized::linear_dynamic")
    assert found.costs[at] == Cost(None, None, "matmul")


def backward(result: torch.Tensor) -> Callable[[], object]:
    gradient = torch.ones_like(result)
    return lambda: result.backward(gradient)


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, requires_grad=True)


BACKWARD = [
    # as much as forward for the input and for the weight: 2 x 2 x 16 points x 108
    ("conv2d", lambda: F.conv2d(leaf(2, 4, 8, 8), leaf(6, 2, 3, 3), leaf(6), 2, 1, 1, 2),
     "aten::convolution_backward", 13824),
    ("conv2d, of the weight", lambda: F.conv2d(torch.randn(2, 4, 8, 8), leaf(6, 2, 3, 3), None, 2, 1, 1, 2),
     "aten::convolution_backward", 6912),
    ("conv2d of doubles", lambda: F.conv2d(leaf(2, 4, 8, 8).double(), leaf(6, 4, 3, 3).double()),
     "aten::_slow_conv2d_backward", 62208),
    # 2 x 2 x 64 points x 216, twice
    ("conv_transpose2d", lambda: F.conv_transpose2d(leaf(2, 4, 8, 8), leaf(4, 6, 3, 3), leaf(6), 2, 1),
     "aten::convolution_backward", 110592),
    # five products of 1536 pairs and 8
    ("attention", lambda: sdpa(leaf(*Q), leaf(*KV), leaf(*KV)),
     "aten::_scaled_dot_product_flash_attention_for_cpu_backward", 122880),
    ("LSTM", lambda: nn.LSTM(6, 5)(leaf(4, 3, 6))[0], "aten::mkldnn_rnn_layer_backward", 10560),
    ("layer_norm", lambda: F.layer_norm(leaf(4, 8), (8,), leaf(8), leaf(8)),
     "aten::native_layer_norm_backward", 416),
    ("group_norm", lambda: F.group_norm(leaf(2, 4, 8, 8), 2, leaf(4), leaf(4)),
     "aten::native_group_norm_backward", 6656),
    ("batch_norm", lambda: nn.BatchNorm2d(4)(leaf(2, 4, 8, 8)), "aten::native_batch_norm_backward", 6656),
    ("batch_norm, fixed", lambda: nn.BatchNorm2d(4).eval()(leaf(2, 4, 8, 8)),
     "aten::native_batch_norm_backward", 2048),
    ("softmax", lambda: leaf(4, 8).softmax(-1), "aten::_softmax_backward_data", 128),
    ("gelu", lambda: F.gelu(leaf(4, 8)), "aten::gelu_backward", 32),
    ("relu", lambda: F.relu(leaf(4, 8)), "aten::threshold_backward", 32),
    ("elu", lambda: F.elu(leaf(4, 8)), "aten::elu_backward", 32),
    ("embedding", lambda: F.embedding(integers(2), leaf(10, 4)), "aten::embedding_dense_backward", 8),
]  # fmt: skip


@pytest.mark.parametrize(
    ("forward", "op", "flops"), [row[1:] for row in BACKWARD], ids=[row[0] for row in BACKWARD]
)
def test_the_backward_pass_is_counted_as_well(
    forward: Callable[[], torch.Tensor], op: str, flops: int, tmp_path: Path
) -> None:
    found = record(backward(forward()), tmp_path)
    assert sum(cost.flops or 0 for cost in found.of(op)) == flops


def test_bytes_of_backward_ops(tmp_path: Path) -> None:
    found = record(backward(sdpa(leaf(*Q), leaf(*KV), leaf(*KV))), tmp_path)
    [cost] = found.of("aten::_scaled_dot_product_flash_attention_for_cpu_backward")
    # gradient and output of 1024, and query, keys, values and their gradients of 1024 + 768 + 768
    assert cost.bytes == 4 * (2 * 1024 + 2 * 2560)
    found = record(backward(F.conv2d(torch.randn(2, 4, 8, 8), leaf(6, 4, 3, 3), leaf(6))), tmp_path)
    [cost] = found.of("aten::convolution_backward")
    # gradient of 2 x 6 x 6 x 6 and input of 2 x 4 x 8 x 8 read, the weight's gradient written
    assert cost.bytes == 4 * (432 + 512 + 216)


def test_a_training_step_of_an_mlp_is_three_forward_passes_less_the_first_layers_input(
    tmp_path: Path,
) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 3))
    x = torch.randn(4, 8)
    forward = record(lambda: model(x), tmp_path).flops("matmul")
    both = record(lambda: model(x).sum().backward(), tmp_path).flops("matmul")
    assert forward == 2 * 4 * (8 * 16 + 16 * 32 + 32 * 3) == 5888
    assert both == 3 * forward - 2 * 4 * 8 * 16


@pytest.mark.parametrize(
    ("kind", "options", "op", "flops", "moved"),
    [
        # 36 parameters; a list of tensors is done one by one on a CPU, and its ops are not counted twice
        ("SGD", {"momentum": 0.9, "foreach": True}, "aten::add_", 72, 4 * 6 * 36),
        ("SGD", {"momentum": 0.9, "fused": True}, "aten::_fused_sgd_", 180, None),
        ("SGD", {"fused": True}, "aten::_fused_sgd_", 72, None),
        ("Adam", {"fused": True}, "aten::_fused_adam_", 468, None),
        ("AdamW", {"fused": True}, "aten::_fused_adamw_", 504, None),
        ("Adam", {"foreach": True}, "aten::lerp_", 108, 4 * 3 * 36),
    ],
)
def test_optimizers(
    kind: str, options: dict[str, Any], op: str, flops: int, moved: int | None, tmp_path: Path
) -> None:
    model = nn.Linear(8, 4)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **options)
    model(torch.randn(2, 8)).sum().backward()
    optimizer.step()
    found = record(optimizer.step, tmp_path)
    assert sum(cost.flops or 0 for cost in found.of(op)) == flops
    assert not any(op.name.startswith("aten::_foreach") for op, yes in zip(found.ops, found.counts, strict=True)
                   if yes)  # fmt: skip
    if moved is None:
        assert {cost.bytes for cost in found.of(op)} == {None}
    else:
        assert sum(cost.bytes or 0 for cost in found.of(op)) == moved


def test_a_long_list_of_tensors_has_no_shapes(tmp_path: Path) -> None:
    tensors = [torch.ones(2)] * 31
    found = record(lambda: torch.cat(tensors), tmp_path)
    assert Cost(None, None, "copy") in found.costs


class Block(nn.Module):
    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(wide, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.short = nn.Conv2d(wide, out, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


class Composed(nn.Module):
    """An LSTM of linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(6, 20), nn.Linear(5, 20, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = torch.zeros(x.shape[1], 5)
        for row in x:
            i, f, g, o = (self.input(row) + self.state(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Block(8, 8, 1),
        Block(8, 16, 2), nn.ConvTranspose2d(16, 8, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(cnn, (2, 3, 32, 32)), (transformer, (2, 8, 32)), (Composed, (4, 3, 6))],
    ids=["cnn", "transformer", "lstm"],
)
def test_products_agree_with_pytorchs_own_counter(
    make: Callable[[], nn.Module], shape: tuple[int, ...], trains: bool, tmp_path: Path
) -> None:
    model, x = make(), torch.randn(shape)

    def run() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            y = model(x)
            if trains:
                y.sum().backward()

    with FlopCounterMode(display=False) as counter:
        run()
    found = record(run, tmp_path)

    assert found.flops(*PRODUCTS) == counter.get_total_flops() > 0
    assert found.flops() > found.flops(*PRODUCTS)


# where the tensors are, and what says that the attention is causal, in ops that no CPU runs
@pytest.mark.parametrize("name", ATTENTION)
def test_attention_reads_its_arguments_where_torch_has_them(name: str) -> None:
    [packet] = [getattr(torch.ops.aten, name)]
    names = [argument.name for argument in packet.default._schema.arguments]
    inputs = ATTENTION[name].__closure__[0].cell_contents
    assert isinstance(inputs, AttentionInputs)
    assert names[inputs.query : inputs.query + 3] == ["query", "key", "value"]
    assert names[inputs.causal] in {"is_causal", "custom_mask_type"}
    assert inputs.backward == ("backward" in name)
    if inputs.mask >= 0:
        assert names[inputs.mask] in {"attn_mask", "attn_bias", "bias"}
    if inputs.lengths >= 0:
        assert names[inputs.lengths] in {"cum_seq_q", "cu_seqlens_q"}
    if inputs.window >= 0:
        assert names[inputs.window] in {"window_size_left", "window_size"}


def attention_signature(name: str, order: str, causal: str, **given: str) -> OpSignature:
    """As a GPU's trace would have it: 2 x 4 heads, 16 queries, 12 keys, size 8."""
    names = [argument.name for argument in getattr(torch.ops.aten, name).default._schema.arguments]
    sizes = {"b": 2, "h": 4, "d": 8}
    tensors = {
        part: [
            ({"s": 16 if part in {"query", "grad_out", "grad_out_", "out"} else 12} | sizes)[axis]
            for axis in order
        ]
        for part in ("query", "key", "value", "grad_out", "grad_out_", "out")
    }
    dims: list[Any] = [tensors.get(part, [3] if part in given else []) for part in names]
    types = ["c10::Half" if part in tensors else given.get(part, "") for part in names]
    texts = [causal if part in {"is_causal", "custom_mask_type"} else "" for part in names]
    return OpSignature.of(f"aten::{name}", dims, types, texts)


@pytest.mark.parametrize(
    ("name", "order", "causal", "flops"),
    [
        ("_scaled_dot_product_flash_attention", "bhsd", "False", 49152),
        ("_scaled_dot_product_efficient_attention", "bhsd", "False", 49152),
        ("_scaled_dot_product_cudnn_attention", "bhsd", "False", 49152),
        ("_flash_attention_forward", "bshd", "False", 49152),
        ("_efficient_attention_forward", "bshd", "0", 49152),
        # 12 queries see 1 to 12 keys, 4 more all 12: 126 pairs for each of 8 heads
        ("_scaled_dot_product_flash_attention", "bhsd", "True", 2 * 8 * 126 * 16),
        ("_efficient_attention_forward", "bshd", "1", 2 * 8 * 126 * 16),
        # from the lower right, the last 12 queries see 1 to 12 keys: 78 pairs
        ("_efficient_attention_forward", "bshd", "2", 2 * 8 * 78 * 16),
        ("_scaled_dot_product_flash_attention_backward", "bhsd", "False", 122880),
        ("_scaled_dot_product_efficient_attention_backward", "bhsd", "False", 122880),
        ("_scaled_dot_product_cudnn_attention_backward", "bhsd", "False", 122880),
        ("_flash_attention_backward", "bshd", "False", 122880),
        ("_efficient_attention_backward", "bshd", "0", 122880),
    ],
)
def test_attention_of_gpus(name: str, order: str, causal: str, flops: int) -> None:
    cost = cost_of(attention_signature(name, order, causal))
    assert (cost.flops, cost.kind) == (flops, "attention")
    assert cost.bytes == 14336 // 2 * (2 if "backward" in name else 1)


def test_attention_over_packed_sequences_is_unknown() -> None:
    packed = attention_signature("_flash_attention_forward", "bshd", "False", cum_seq_q="int")
    assert cost_of(packed) == Cost(None, None, "attention")


def test_what_is_not_known_is_none() -> None:
    assert cost_of(OpSignature("aten::fancy_new_op", ((2, 2),), ("float",), ("",))) == Cost(
        None, None, "other"
    )
    assert cost_of(OpSignature("MyKernel", ((2, 2),), ("float",), ("",))) == Cost(None, None, "other")
    nested = OpSignature("aten::add", ((), ()), ("", ""), ("", ""))
    assert cost_of(nested) == Cost(None, None, "elementwise")
    new_type = cost_of(OpSignature("aten::mm", ((2, 3), (3, 4)), ("c10::Float3", "c10::Float3"), ("", "")))
    assert (new_type.flops, new_type.bytes) == (48, None)


def test_linear_layers_as_compiled() -> None:
    def cost(name: str, *dims: list[int]) -> Cost:
        types = ["float" if shape else "" for shape in dims]
        return cost_of(OpSignature.of(name, list(dims), types, [""] * len(dims)))

    # 2 x 4 x 8 x 16, with a bias of 16; the second adds a tensor of the result's shape
    assert cost("mkldnn::_linear_pointwise", [4, 8], [16, 8], [16], [], [], []).flops == 1024
    assert cost("mkldnn::_linear_pointwise", [4, 8], [4, 16], [16, 8], [16], []).flops == 1024
    assert cost("mkl::_mkl_linear", [4, 8], [999, 1], [16, 8], [16], []).bytes == 960


def test_packed_weights_of_four_bits() -> None:
    # 32 x 64 numbers in 256 words of four bytes, met by 4 rows
    op = OpSignature.of(
        "aten::_weight_int4pack_mm", [[4, 64], [4, 1, 32, 2], [], [2, 32, 2]],
        ["c10::BFloat16", "int", "Scalar", "c10::BFloat16"], ["", "", "32", ""],
    )  # fmt: skip
    assert cost_of(op) == Cost(16384, 2 * (256 + 128 + 128) + 4 * 256, "matmul", 4)


def test_views_cost_nothing_and_hide_nothing() -> None:
    for name in ("view", "t", "transpose", "expand", "as_strided", "reshape", "detach", "squeeze_", "chunk"):
        cost = cost_of(OpSignature(f"aten::{name}", (), (), ()))
        assert (cost.flops, cost.bytes, cost.kind, cost.rank) == (0, 0, "view", 0), name


GARBAGE: list[Any] = [
    [], None, "x", 3, -1, 2.5, True, {}, [[]], [None], [-1], [2, -3], [1e999], ["4"], [[[[[[2]]]]]], [[2, 2], None],
    [2**70, 3], [True, False], [[2, 3], [3, 4]], [0, 0], [1] * 40,
]  # fmt: skip
TEXTS: list[Any] = [
    "", "[]", "[", "1", "-1", "0", "True", "nan", "inf", "[1, 1]", "[1, [2]]", "9" * 5000, "[0]", "[True, False, 3]",
    "[-5, 100]", "None", None, 7, [], "[True, True, True]", "1000000000000",
]  # fmt: skip
TYPES: list[Any] = [
    "float",
    "",
    "Scalar",
    "TensorList",
    "ScalarList",
    "c10::BFloat16",
    "no type",
    None,
    5,
    "long int",
]


def names() -> list[str]:
    from jupyter_optim.profiling.ops.flops import _FORMULAS, _OPAQUE

    return [*_FORMULAS, *_OPAQUE, "", "aten::", "_", "aten::nope_"]


def test_odd_arguments_never_raise_and_never_count_less_than_nothing() -> None:
    chance = random.Random(7)
    deep: Any = 2
    for _ in range(5000):
        deep = [deep]
    for name in names():
        for _ in range(80):
            size = chance.randrange(16)
            dims = [chance.choice([*GARBAGE, deep, [2, 3], [2, 3, 4, 4], [4, 3, 2, 2]]) for _ in range(size)]
            types = [chance.choice([*TYPES, "float", "float"]) for _ in range(chance.randrange(16))]
            texts = [chance.choice(TEXTS) for _ in range(chance.randrange(16))]
            for signature in (
                OpSignature.of(name, dims, types, texts),
                OpSignature(name, tuple(dims), tuple(map(str, types)), tuple(map(str, texts))),
            ):
                cost = cost_of(signature)
                assert cost.flops is None or cost.flops >= 0, signature
                assert cost.bytes is None or cost.bytes >= 0, signature
            assert isinstance(hash(OpSignature.of(name, dims, types, texts)), int)
    for odd in GARBAGE:
        assert cost_of(OpSignature.of("aten::mm", odd, odd, odd)).flops is None


@pytest.mark.parametrize("seed", range(20))
def test_of_rows_within_each_other_the_innermost_counts(seed: int) -> None:
    chance = np.random.default_rng(seed)
    parent = np.array([chance.integers(-1, row) if row else -1 for row in range(60)], np.int64)
    rank = chance.integers(0, 4, 60)

    def above(row: int) -> list[int]:
        return [] if parent[row] < 0 else [int(parent[row]), *above(int(parent[row]))]

    has = rank > 0
    expected = [bool(has[i]) and not any(has[j] and i in above(j) for j in range(60)) for i in range(60)]
    assert innermost(has, parent).tolist() == expected

    chosen = counted(rank, parent)
    assert not (chosen & ~has).any()
    for i in np.flatnonzero(chosen):
        assert not chosen[above(int(i))].any()  # nothing twice
    for i in np.flatnonzero(has & ~chosen):
        inside = [j for j in np.flatnonzero(chosen) if i in above(int(j)) and rank[j] >= rank[i]]
        around = [j for j in above(int(i)) if chosen[j] and rank[j] > rank[i]]
        assert inside or around  # and nothing left out without a reason


def test_no_rows() -> None:
    assert counted(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    assert innermost(np.zeros(0, np.bool_), np.zeros(0, np.int64)).tolist() == []
