"""Work of what makes few numbers of many: sums, extremes, losses; and of Fourier transforms."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2, prod

from jupyter_optim.profiling.ops.formulas.signature import (
    DTYPES,
    Formula,
    OpSignature,
    Unknown,
    Work,
    broadcast,
    each_of,
    moved,
    read,
)

_COUNTS = {"bool", "unsigned char", "signed char", "short int", "int", "long int"}
"""Types that are summed as 64-bit integers."""

_DTYPE_AT = {"aten::sum": 3, "aten::nansum": 3, "aten::mean": 3, "aten::prod": 3}


def reduction(each: int, dim: int = 1, result: str = "", *, places: bool = False) -> Formula:
    """Each element of the input is taken in once.

    Args:
        each: operations for an element.
        dim: the place of the axes; absent or empty: all.
        result: type of the output; "": the input's.
        places: whether it gives their places beside the values, where axes are given.
    """

    def work(op: OpSignature) -> Work:
        shape = op.shape(0)
        if dim == 1 and op.is_tensor(1):
            raise Unknown  # ``max(a, b)`` is no reduction
        axes = _axes(op, dim)
        over = {axis % len(shape) for axis in axes if shape}
        out = tuple(size for axis, size in enumerate(shape) if over and axis not in over)
        written = [(out, result or _summed_type(op))] + [(out, "long int")] * bool(places and axes)
        return each * prod(shape), moved([(shape, op.type(0)), *written])

    return work


def _axes(op: OpSignature, at: int) -> tuple[int, ...]:
    # the second of just two inputs is another thing: ``sum(x, dtype)``, ``std(x, unbiased)``
    if op.text(at) in {"", "True", "False"} or (op.name in _DTYPE_AT and len(op.types) == 2):
        return ()
    return op.integers(at)


def _summed_type(op: OpSignature) -> str:
    at = 1 if len(op.types) == 2 else _DTYPE_AT.get(op.name, -1)
    if op.name in _DTYPE_AT and op.text(at):
        return DTYPES.get(op.integer(at), "")
    sums = op.name in {"aten::sum", "aten::nansum", "aten::prod"}
    return "long int" if sums and op.type(0) in _COUNTS else op.type(0)


def scan(op: OpSignature) -> Work:
    """``cumsum`` and its like: an operation an element, and as many results."""
    x = (op.shape(0), op.type(0))
    return prod(x[0]), moved([x, x])


def equal(op: OpSignature) -> Work:
    return prod(op.shape(0)), moved([*read(op, 0, 1), ((), "bool")])


def loss(each: int, reduces: int) -> Formula:
    """A loss of two tensors: `each` operations an element, and one more where it is reduced.

    Args:
        each: operations for an element.
        reduces: the place of the number that says how it is reduced (0: not).
    """

    def work(op: OpSignature) -> Work:
        shape = broadcast([op.shape(0), op.shape(1)])
        reduced = op.integer(reduces) != 0
        out = ((() if reduced else shape), op.type(0))
        return (each + reduced) * prod(shape), moved([*read(op, 0, 1), out])

    return work


def picked_loss(op: OpSignature) -> Work:
    """``nll_loss_forward(x, target, ...)``: one element for each target is picked and added up."""
    target = op.shape(1)
    reduced = op.integer(3) != 0
    out = ((() if reduced else target), op.type(0))
    return prod(target) * reduced, moved([(target, op.type(0)), *read(op, 1), out])


def spectrum(op: OpSignature) -> Work:
    """A Fourier transform: 5 N log2 N operations, half of it for real data.

    Source: the convention of FFTW's benchmarks (https://www.fftw.org/speed/method.html).
    """
    shape, axes = list(op.shape(0)), op.integers(1)
    if not axes or not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise Unknown
    out, real = list(shape), op.name != "aten::_fft_c2c"
    written = op.type(0)
    if op.name == "aten::_fft_r2c":
        written = f"c10::complex<{op.type(0)}>"
        if op.flag(3):
            out[axes[-1]] = shape[axes[-1]] // 2 + 1
    elif op.name == "aten::_fft_c2r":
        written = op.type(0).removeprefix("c10::complex<").removesuffix(">")
        out[axes[-1]] = shape[axes[-1]] = op.integer(3)
    count, length = prod(shape), prod(shape[axis] for axis in axes)
    if not 0 < count < 2**53 or min(out) < 0:
        raise Unknown
    return round(5 * count * log2(length) / (2 if real else 1)), moved([*read(op, 0), (tuple(out), written)])


REDUCTION: Mapping[str, Formula] = {
    **each_of("sum nansum mean prod amax amin", reduction(1)),
    **each_of("max min median nanmedian", reduction(1, places=True)),
    **each_of("argmax argmin", reduction(1, result="long int")),
    **each_of("all any", reduction(1, result="bool")),
    "linalg_vector_norm": reduction(2, dim=2),
    **each_of("cumsum cumprod logcumsumexp cummax_helper cummin_helper", scan),
    "equal": equal,
    "nll_loss_forward": picked_loss,
}

WHOLE_REDUCTION: Mapping[str, Formula] = {
    # what lies within these is not all of their work; the mean is 1, the squares are 3
    **each_of("var std var_mean std_mean", reduction(4)),
    "mse_loss": loss(2, reduces=2),
    "smooth_l1_loss": loss(3, reduces=2),
    "huber_loss": loss(3, reduces=2),
    "binary_cross_entropy": loss(6, reduces=3),
}

SPECTRUM: Mapping[str, Formula] = each_of("_fft_c2c _fft_r2c _fft_c2r", spectrum)
