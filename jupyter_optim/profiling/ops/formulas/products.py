"""Work of matrix products and convolutions.

What is counted is the multiply-adds, 2 operations each, as `torch.utils.flop_counter` and the literature do it:
a bias and a fused activation are left out. A complex multiply-add is 4 real ones. Zeros of padding are multiplied too.
Bytes are inputs read once and outputs written once; statistics that a kernel keeps for the backward pass are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from jupyter_optim.profiling.ops.formulas.signature import (
    DTYPES,
    Formula,
    OpSignature,
    Shape,
    Unknown,
    Work,
    broadcast,
    each_of,
    element_bytes,
    moved,
    read,
)


def multiply_adds(count: int, type_name: str) -> int:
    """Operations of so many multiply-adds in that element type."""
    return 2 * count * (4 if type_name.startswith("c10::complex") else 1)


def product(left: int) -> Formula:
    """A product of the inputs `left` and `left + 1`, of any ranks, by the rules of `torch.matmul`.

    An input before them is added (``aten::addmm``) and so read as well.
    """

    def work(op: OpSignature) -> Work:
        a, b = op.shape(left), op.shape(left + 1)
        if not a or not b or a[-1] != b[-2 if len(b) > 1 else 0]:
            raise Unknown
        batch = broadcast([a[:-2], b[:-2]])
        out = batch + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
        count = prod(out) * a[-1]
        written = _result_type(op, left)
        return multiply_adds(count, op.type(left)), moved(
            [*read(op, *range(left + 2)), (out, written)]
        )  # fmt: skip

    return work


def _result_type(op: OpSignature, left: int) -> str:
    if op.name == "aten::_int_mm":
        return "int"
    if op.name == "aten::_scaled_mm":
        return DTYPES.get(op.integer(6), "") if op.text(6) else op.type(left)
    return op.type(left)


def summed_products(op: OpSignature) -> Work:
    """``aten::addbmm``: a batch of products, added up."""
    (batch, rows, inner), (batch_too, inner_too, columns) = sized(op, 1, 3), sized(op, 2, 3)
    if (batch, inner) != (batch_too, inner_too):
        raise Unknown
    count = multiply_adds(batch * rows * inner * columns, op.type(1))
    return count, moved([*read(op, 0, 1, 2), ((rows, columns), op.type(1))])


def sized(op: OpSignature, at: int, rank: int) -> Shape:
    """Shape of input `at`, which must have that rank."""
    if len(op.shape(at)) != rank:
        raise Unknown
    return op.shape(at)


def linear(weight: int = 1, bias: int = 2) -> Formula:
    """``x @ weight.T + bias``, with a weight of (out, in)."""

    def work(op: OpSignature) -> Work:
        x, matrix = op.shape(0), op.shape(weight)
        if not x or len(matrix) != 2 or x[-1] != matrix[1]:
            raise Unknown
        moves = moved([*read(op, 0, weight, bias), ((*x[:-1], matrix[0]), op.type(0))])
        return multiply_adds(prod(x) * matrix[0], op.type(0)), moves

    return work


def linear_pointwise(op: OpSignature) -> Work:
    """``mkldnn::_linear_pointwise(x, weight, bias, ...)``, or ``(x, other, weight, bias, ...)`` if it adds another."""
    adds = op.is_tensor(2) and len(op.shape(2)) == 2
    return linear(weight=2, bias=3)(op) if adds else linear()(op)


def linear_int4(op: OpSignature) -> Work:
    """A linear layer whose weight is packed, two numbers to a byte."""
    x, size = op.shape(0), element_bytes(op.type(1))
    if len(x) != 2 or not x[1] or size is None:
        raise Unknown
    numbers = prod(op.shape(1)) * size * 2
    return 2 * x[0] * numbers, moved([*read(op, 0, 1, 3), ((x[0], numbers // x[1]), op.type(0))])


@dataclass(frozen=True, slots=True)
class ConvInputs:
    """At which place a convolution has what; -1: it has no such input."""

    stride: int
    padding: int
    dilation: int = -1
    bias: int = 2
    groups: int = -1
    output_padding: int = -1
    transposed: bool | int = False
    """Whether it is, or the place of the flag that says so."""

    def is_transposed(self, op: OpSignature) -> bool:
        return self.transposed if isinstance(self.transposed, bool) else op.flag(self.transposed)


def convolution(inputs: ConvInputs) -> Formula:
    """Each number of the weight meets each point of the output; of the input, if it is transposed."""

    def work(op: OpSignature) -> Work:
        x, weight = op.shape(0), op.shape(1)
        if len(x) == len(weight) - 1:
            x = (1, *x)
        if len(x) != len(weight) or len(x) < 3:
            raise Unknown
        transposed = inputs.is_transposed(op)
        out = _conv_output(op, inputs, x, weight, transposed=transposed)
        points = x[0] * prod(x[2:] if transposed else out[2:])
        moves = moved([*read(op, 0, 1, inputs.bias), (out, op.type(0))])
        return multiply_adds(points * prod(weight), op.type(0)), moves

    return work


def _conv_output(op: OpSignature, inputs: ConvInputs, x: Shape, weight: Shape, *, transposed: bool) -> Shape:
    rank = len(x) - 2

    def each(at: int, default: int) -> tuple[int, ...]:
        return op.integers(at, rank) if at >= 0 else (default,) * rank

    stride, padding, dilation = each(inputs.stride, 1), each(inputs.padding, 0), each(inputs.dilation, 1)
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        raise Unknown
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight[2:], strict=True)]
    if not transposed:
        sizes = zip(x[2:], padding, reach, stride, strict=True)
        return (x[0], weight[0], *(max(0, (n + 2 * p - r) // s + 1) for n, p, r, s in sizes))
    channels = weight[1] * (op.integer(inputs.groups) if inputs.groups >= 0 else 1)
    extra = each(inputs.output_padding, 0)
    wide = zip(x[2:], stride, padding, reach, extra, strict=True)
    return (x[0], channels, *(max(0, (n - 1) * s - 2 * p + r + e) for n, s, p, r, e in wide))


def convolution_backward(transposed: int, mask: int) -> Formula:
    """The gradients of input and weight, as far as the mask wants them, cost a forward pass each."""

    def work(op: OpSignature) -> Work:
        grad, x, weight = op.shape(0), op.shape(1), op.shape(2)
        if not len(grad) == len(x) == len(weight) or len(x) < 3:
            raise Unknown
        wants_input, wants_weight, _ = op.flags(mask, 3)
        points = x if transposed >= 0 and op.flag(transposed) else grad
        once = multiply_adds(points[0] * prod(points[2:]) * prod(weight), op.type(1))
        written = [(x, op.type(1))] * wants_input + [(weight, op.type(2))] * wants_weight
        needed = [0, *[2] * wants_input, *[1] * wants_weight]
        return once * (wants_input + wants_weight), moved([*read(op, *needed), *written])

    return work


MATMUL: Mapping[str, Formula] = {
    **each_of("mm bmm matmul mv dot vdot _int_mm _scaled_mm", product(0)),
    **each_of("addmm _addmm_activation baddbmm addmv", product(1)),
    "addbmm": summed_products,
    **each_of("linear mkldnn_linear _weight_int8pack_mm", linear()),
    # what torch.compile makes of frozen layers
    "mkldnn::_linear_pointwise": linear_pointwise,
    "mkl::_mkl_linear": linear(weight=2, bias=3),
    **each_of("_weight_int4pack_mm _weight_int4pack_mm_for_cpu", linear_int4),
}

_TAKES_KERNEL = ConvInputs(stride=4, padding=5, bias=3)
_PADDING_FIRST = ConvInputs(padding=3, stride=4, dilation=5, groups=6)
_STRIDE_FIRST = ConvInputs(stride=3, padding=4, dilation=5, groups=6)
_TRANSPOSE = ConvInputs(stride=3, padding=4, output_padding=5, groups=6, dilation=7, transposed=True)
_EITHER = ConvInputs(stride=3, padding=4, dilation=5, transposed=6, output_padding=7, groups=8)
_KERNEL_DILATED = ConvInputs(stride=4, padding=5, dilation=6, bias=3)
_KERNEL_TRANSPOSED = ConvInputs(
    stride=4, padding=5, output_padding=6, dilation=7, bias=3, transposed=True
)  # fmt: skip

CONVOLUTION: Mapping[str, Formula] = {
    **each_of("conv1d conv2d conv3d cudnn_convolution_relu", convolution(_STRIDE_FIRST)),
    **each_of("conv_transpose1d conv_transpose2d conv_transpose3d", convolution(_TRANSPOSE)),
    **each_of("convolution _convolution convolution_overrideable", convolution(_EITHER)),
    **each_of(
        "mkldnn_convolution miopen_convolution miopen_depthwise_convolution _mps_convolution",
        convolution(_PADDING_FIRST),
    ),
    "mkldnn::_convolution_pointwise": convolution(_PADDING_FIRST),
    "_nnpack_spatial_convolution": convolution(ConvInputs(padding=3, stride=4)),
    "cudnn_convolution": convolution(ConvInputs(padding=2, stride=3, dilation=4, groups=5, bias=-1)),
    "cudnn_convolution_transpose": convolution(
        ConvInputs(padding=2, output_padding=3, stride=4, dilation=5, groups=6, bias=-1, transposed=True)
    ),
    **each_of(
        "thnn_conv2d _slow_conv2d_forward slow_conv3d slow_conv3d_forward",
        convolution(_TAKES_KERNEL),
    ),
    **each_of(
        "slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d",
        convolution(_KERNEL_DILATED),
    ),
    **each_of("slow_conv_transpose2d slow_conv_transpose3d", convolution(_KERNEL_TRANSPOSED)),
    "convolution_backward": convolution_backward(transposed=7, mask=10),
    "_slow_conv2d_backward": convolution_backward(transposed=-1, mask=6),
}
