"""Work of norms, by their definitions.

For each element the mean takes 1 operation, the variance 3 (subtract, multiply and add), the result 2 (subtract,
multiply), a weight 1 and a bias 1: Ba et al., Layer Normalization (arXiv:1607.06450), equation 3; group norms and
batch norms in training are the same over other elements. A batch norm with fixed statistics is a scale and a
shift: Ioffe and Szegedy (arXiv:1502.03167), algorithm 2. An RMS norm is 3: square, add, multiply (Zhang and
Sennrich, arXiv:1910.07467). A softmax is 5: maximum, subtract, exponential, add, divide. Means and deviations
that are kept for the backward pass are left out of the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from jupyter_optim.profiling.ops.formulas.signature import (
    Formula,
    OpSignature,
    Unknown,
    Work,
    each_of,
    moved,
    read,
)


def norm(each: int, weight: int | None = None, bias: int | None = None) -> Formula:
    """`each` operations an element, and one more for a weight and for a bias, at those places."""

    def work(op: OpSignature) -> Work:
        x = (op.shape(0), op.type(0))
        affine = read(op, *(at for at in (weight, bias) if at is not None))
        return (each + len(affine)) * prod(x[0]), moved([x, x, *affine])

    return work


def batch_norm(training: int | None) -> Formula:
    """With the batch's statistics a norm, with fixed ones a scale and a shift.

    Args:
        training: the place of the flag; None: never.
    """

    def work(op: OpSignature) -> Work:
        # ``_native_batch_norm_legit`` without running statistics has its flag where they would be
        flag = 3 if training is not None and op.type(3) == "Scalar" else training
        trains = flag is not None and op.flag(flag)
        x, affine = (op.shape(0), op.type(0)), read(op, 1, 2)
        statistics = read(op, 3, 4) * (2 if trains else 1)
        each = 6 + len(affine) if trains else 2
        return each * prod(x[0]), moved([x, x, *affine, *statistics])

    return work


def norm_backward(weight: int, mask: int, training: int = -1) -> Formula:
    """10 operations an element for the input's gradient, 2 for the weight's, 1 for the bias's.

    From dx = (g w - mean(g w) - x' mean(g w x')) / std: x' is 2, g w is 1, the means are 1 and 2, the rest is 4.
    With fixed statistics dx = g w / std, which is 1. The weight's gradient is the sum of g x', the bias's of g.
    """

    def work(op: OpSignature) -> Work:
        shape, wanted = op.shape(1), op.flags(mask, 3)
        first = 10 if training < 0 or op.flag(training) else 1
        each = sum(cost for cost, wants in zip((first, 2, 1), wanted, strict=True) if wants)
        weights = read(op, weight)
        written = [(shape, op.type(1))] * wanted[0] + weights * (wanted[1] + wanted[2])
        return each * prod(shape), moved([*read(op, 0, 1), *weights, *written])

    return work


def softmax_backward(op: OpSignature) -> Work:
    """``y (g - sum(g y))``, or ``g - exp(y) sum(g)`` for the logarithm: 4 operations an element."""
    if op.shape(0) != op.shape(1):
        raise Unknown
    return 4 * prod(op.shape(0)), moved([*read(op, 0, 1), (op.shape(1), op.type(1))])


NORM: Mapping[str, Formula] = {
    "native_layer_norm": norm(6, weight=2, bias=3),
    "native_group_norm": norm(6, weight=1, bias=2),
    "_fused_rms_norm": norm(3, weight=2),
    **each_of("native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit", batch_norm(5)),
    "_native_batch_norm_legit_no_training": batch_norm(None),
    "native_layer_norm_backward": norm_backward(weight=5, mask=7),
    "native_group_norm_backward": norm_backward(weight=4, mask=9),
    "native_batch_norm_backward": norm_backward(weight=2, mask=9, training=7),
    **each_of("_softmax _log_softmax", norm(5)),
    **each_of("_softmax_backward_data _log_softmax_backward_data", softmax_backward),
}
