"""Work of pooling and interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from jupyter_optim.profiling.ops.formulas.signature import Formula, OpSignature, Unknown, Work, moved, read

_MOST_WINDOWS = 65_536
"""More along one axis is no real pooling; the sum over them would take long."""


def pool(rank: int, *, dilated: bool = False, places: bool = False) -> Formula:
    """Windows over the last `rank` axes: an operation for each element of each window.

    Args:
        rank: the number of axes.
        dilated: whether a dilation comes before the flag that says how sizes are rounded.
        places: whether it gives the places of the maxima as well.
    """

    def work(op: OpSignature) -> Work:
        shape, kernel = op.shape(0), op.integers(1, rank)
        stride = kernel if op.text(2) in {"", "[]"} else op.integers(2, rank)
        padding = op.integers(3, rank)
        dilation = op.integers(4, rank) if dilated else (1,) * rank
        if len(shape) <= rank or min(*kernel, *stride, *dilation) < 1:
            raise Unknown
        up = op.flag(5 if dilated else 4)
        axes = zip(shape[-rank:], kernel, stride, padding, dilation, strict=True)
        out = (*shape[:-rank], *(_steps(n, p, d * (k - 1) + 1, s, up=up) for n, k, s, p, d in axes))
        written = [(out, op.type(0))] + [(out, "long int")] * places
        return prod(out) * prod(kernel), moved([*read(op, 0), *written])

    return work


def _steps(size: int, padding: int, reach: int, stride: int, *, up: bool) -> int:
    free = size + 2 * padding - reach
    steps = (-(-free // stride) if up else free // stride) + 1
    # a window that would start in the padding behind is left out
    return max(0, steps - (up and (steps - 1) * stride >= size + padding))


def adaptive_pool(rank: int, *, places: bool = False) -> Formula:
    """Windows of adapted sizes: from floor(i n / m) to ceil((i + 1) n / m) for output i of m."""

    def work(op: OpSignature) -> Work:
        shape, wanted = op.shape(0), op.integers(1, rank)
        if len(shape) <= rank or min(wanted) < 1 or max(wanted) > _MOST_WINDOWS:
            raise Unknown
        taken = [
            sum(-(-(i + 1) * n // m) - i * n // m for i in range(m))
            for n, m in zip(shape[-rank:], wanted, strict=True)
        ]
        out = (*shape[:-rank], *wanted)
        written = [(out, op.type(0))] + [(out, "long int")] * places
        return prod(shape[:-rank]) * prod(taken), moved([*read(op, 0), *written])

    return work


def resample(points: int) -> Formula:
    """Interpolation from `points` neighbours: a product each, and their sum; the nearest is a copy."""

    def work(op: OpSignature) -> Work:
        shape, wanted = op.shape(0), op.integers(1)
        out = (*shape[:2], *wanted)
        if not wanted or len(out) != len(shape) or min(wanted) < 0:
            raise Unknown
        each = 2 * points - 1 if points > 1 else 0
        return each * prod(out), moved([*read(op, 0), (out, op.type(0))])

    return work


POOL: Mapping[str, Formula] = {
    **{f"max_pool{rank}d": pool(rank, dilated=True) for rank in (1, 2, 3)},
    **{f"max_pool{rank}d_with_indices": pool(rank, dilated=True, places=True) for rank in (2, 3)},
    **{f"avg_pool{rank}d": pool(rank) for rank in (1, 2, 3)},
    **{f"_adaptive_avg_pool{rank}d": adaptive_pool(rank) for rank in (2, 3)},
    **{f"adaptive_max_pool{rank}d": adaptive_pool(rank, places=True) for rank in (2, 3)},
}

RESAMPLE: Mapping[str, Formula] = {
    **{f"upsample_nearest{rank}d": resample(1) for rank in (1, 2, 3)},
    "upsample_linear1d": resample(2),
    "upsample_bilinear2d": resample(4),
    "upsample_trilinear3d": resample(8),
    "upsample_bicubic2d": resample(16),
}
