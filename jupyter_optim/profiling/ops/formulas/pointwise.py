"""Work of what goes over the elements, and of copies.

An element's worth of arithmetic is 1 operation, be it an addition, an exponential or a whole GELU; where an op
is a few steps by its definition (``addcmul`` multiplies and adds), those count. Comparisons, logic and integer
arithmetic count as any other; moving data counts none.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def elementwise(each: int, arity: int, result: str = "", *, gaps: bool = False) -> Formula:
    """Arithmetic on the first `arity` inputs, broadcast; what comes after them is no operand (``out=``).

    Args:
        each: operations for an element of the result.
        arity: how many inputs are operands; a number among them costs nothing to read.
        result: element type of the result; "": the operands'.
        gaps: whether an operand may be absent, as a bound of ``clamp``.
    """

    def work(op: OpSignature) -> Work:
        # a nested tensor has no type and no shape in a trace
        if any(op.type(at) == "" and not (gaps and at) for at in range(arity)):
            raise Unknown
        tensors = read(op, *range(arity))
        if not tensors:
            raise Unknown
        shape = broadcast([shape for shape, _ in tensors])
        written = result or (op.type(0) if op.in_place else _promoted(tensors))
        return each * prod(shape), moved([*tensors, (shape, written)])

    return work


def _promoted(tensors: list[tuple[Shape, str]]) -> str:
    """The type that mixed operands give: the larger of the higher category; one without axes yields."""

    def order(entry: tuple[Shape, str]) -> tuple[int, bool, int]:
        shape, name = entry
        category = 2 if "complex" in name else 1 if name in _FLOATING else 0
        return category, bool(shape), element_bytes(name) or 0

    return max(tensors, key=order)[1]


_FLOATING = {"float", "double", "c10::Half", "c10::BFloat16"}


def listwise(each: int) -> Formula:
    """``_foreach_*``: the op on each tensor of a list, whose element types are not in a trace."""
    return lambda op: (each * sum(map(prod, op.shapes_in(0))), None)


def optimizer_step(each: int, decay: tuple[int, int]) -> Formula:
    """A fused optimizer: `each` operations a parameter, and more if there is a weight decay.

    Counted from the plain versions (``_single_tensor_adam`` and so on in torch/optim): for Adam the moments are
    3 and 4, the denominator 3 and the update 3; for SGD the momentum is 3 and the update 2.

    Args:
        each: operations for one parameter.
        decay: the place of the decay, and its operations.
    """

    def work(op: OpSignature) -> Work:
        count = each + decay[1] * op.nonzero(decay[0])
        return count * sum(map(prod, op.shapes_in(0))), None

    return work


def sgd_step(op: OpSignature) -> Work:
    """``_fused_sgd_(params, grads, momentum_buffers, weight_decay, momentum, ...)``."""
    each = 5 if op.nonzero(4) else 2
    return optimizer_step(each, decay=(3, 2))(op)


def fused_cell(each: int, state: int) -> Formula:
    """The pointwise half of a recurrent cell on a GPU: `each` operations for an element of the state.

    Counted from the composed cell: an LSTM's gates are 4 additions, 3 sigmoids and a tanh, its states 2
    products, an addition, a tanh and a product; a GRU's are 3 additions, 2 sigmoids, 2 products, a tanh, a
    subtraction and an addition.
    """

    def work(op: OpSignature) -> Work:
        out = (op.shape(state), op.type(state))
        return each * prod(out[0]), moved([*read(op, *range(5)), out])

    return work


def gated_half(op: OpSignature) -> Work:
    """``glu(x, dim)``: one half times the sigmoid of the other, so 2 operations for half the elements."""
    half = prod(op.shape(0)) // 2
    return 2 * half, moved([*read(op, 0), ((half,), op.type(0))])


def dropout(op: OpSignature) -> Work:
    """``native_dropout(x, p, train)``: a random number and a product for each element; the mask is kept."""
    x = (op.shape(0), op.type(0))
    return 2 * prod(x[0]), moved([x, x, (x[0], "bool")])


def filling(each: int) -> Formula:
    """The op writes its first input and reads none."""
    return lambda op: (each * prod(op.shape(0)), moved([(op.shape(0), op.type(0))]))


def copy(op: OpSignature) -> Work:
    """``copy_(to, from)``: the one is read, the other written."""
    return 0, moved([(op.shape(0), op.type(0)), (op.shape(1), op.type(1))])


def duplicate(op: OpSignature) -> Work:
    """The output is as large as the input, and of its type unless ``_to_copy`` names another."""
    converts = op.name == "aten::_to_copy" and op.text(1)
    written = DTYPES.get(op.integer(1), "") if converts else op.type(0)
    return 0, moved([(op.shape(0), op.type(0)), (op.shape(0), written)])


def concatenation(op: OpSignature) -> Work:
    """The element type of a list is not in a trace, so how many bytes is unknown."""
    op.shapes_in(0)
    return 0, None


def nothing(_: OpSignature) -> Work:
    """A view, or the administration of tensors."""
    return 0, 0


_UNARY = (
    "abs acos acosh angle asin asinh atan atanh bitwise_not celu ceil conj_physical cos cosh deg2rad digamma elu "
    "erf erfc erfinv exp exp2 expm1 floor frac gelu hardshrink hardsigmoid hardswish hardtanh i0 leaky_relu "
    "lgamma log log10 log1p log2 log_sigmoid_forward logit mish nan_to_num neg rad2deg reciprocal relu relu6 "
    "round rsqrt selu sgn sigmoid sign silu sin sinc sinh softplus softshrink sqrt square tan tanh threshold trunc"
)
_UNARY_LOGIC = "isfinite isinf isnan isneginf isposinf logical_not signbit"
_BINARY = (
    "__and__ __or__ __xor__ _prelu_kernel add atan2 bitwise_and bitwise_left_shift bitwise_or "
    "bitwise_right_shift bitwise_xor copysign div floor_divide fmax fmin fmod gcd heaviside hypot lcm ldexp "
    "logaddexp logaddexp2 masked_fill maximum minimum mul nextafter pow remainder rsub sub true_divide xlogy "
    "gelu_backward hardsigmoid_backward hardswish_backward hardtanh_backward leaky_relu_backward mish_backward "
    "native_dropout_backward sigmoid_backward silu_backward softplus_backward tanh_backward threshold_backward"
)
_BINARY_LOGIC = "eq ge gt le logical_and logical_or logical_xor lt ne"

_ARITHMETIC: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(_UNARY.split(), (1, 1)),
    **dict.fromkeys(_BINARY.split(), (1, 2)),
    "where": (1, 3), "lerp": (3, 3), "addcmul": (2, 3), "addcdiv": (2, 3), "elu_backward": (1, 6),
    "log_sigmoid_backward": (1, 3), "mse_loss_backward": (2, 3), "smooth_l1_loss_backward": (2, 3),
    "binary_cross_entropy_backward": (4, 3),
}  # fmt: skip
"""Operations for an element, and the number of operands."""

ELEMENTWISE: Mapping[str, Formula] = {
    **{name: elementwise(each, arity) for name, (each, arity) in _ARITHMETIC.items()},
    **each_of(_UNARY_LOGIC, elementwise(1, 1, "bool")),
    **each_of(_BINARY_LOGIC, elementwise(1, 2, "bool")),
    "clamp": elementwise(1, 3, gaps=True),
    **each_of("clamp_min clamp_max", elementwise(1, 2)),
    "glu": gated_half,
    "native_dropout": dropout,
    **each_of("bernoulli cauchy exponential geometric log_normal normal random uniform", filling(1)),
    **{f"_foreach_{name}": listwise(each) for name, (each, _) in _ARITHMETIC.items()},
    **each_of("_foreach_clamp_min _foreach_clamp_max", listwise(1)),
    "_fused_adam": optimizer_step(13, decay=(9, 2)),
    "_fused_adamw": optimizer_step(13, decay=(9, 1)),
    "_fused_sgd": sgd_step,
    "_thnn_fused_lstm_cell": fused_cell(13, state=2),
    "_thnn_fused_gru_cell": fused_cell(10, state=2),
}

COPY: Mapping[str, Formula] = {
    "copy": copy,
    **each_of("_to_copy clone flip tril triu", duplicate),
    **each_of("fill zero", filling(0)),
    "cat": concatenation,
    "_foreach_copy": concatenation,
    "_foreach_zero": concatenation,
}

VIEW: Mapping[str, Formula] = each_of(
    "_conj _neg_view _reshape_alias _unsafe_view alias as_strided broadcast_tensors broadcast_to chunk conj "
    "contiguous detach diagonal expand expand_as flatten imag lift_fresh mH mT moveaxis movedim narrow "
    "numpy_T permute ravel real reshape reshape_as resolve_conj resolve_neg select slice split "
    "split_with_sizes squeeze swapaxes swapdims t tensor_split to transpose type_as unbind unfold unflatten "
    "unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view view_as view_as_complex view_as_real",
    nothing,
)

ADMINISTRATION: Mapping[str, Formula] = each_of(
    "_has_compatible_shallow_copy_type _local_scalar_dense _nnpack_available cudnn_is_acceptable empty "
    "empty_like empty_permuted empty_strided is_nonzero is_same_size item new_empty new_empty_strided resize "
    "resize_as result_type set",
    nothing,
)
