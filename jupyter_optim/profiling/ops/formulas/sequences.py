"""Work of attention and of recurrent layers: products, counted as in `products`.

The softmax within a fused attention kernel, and the pointwise part of a fused recurrent kernel, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from jupyter_optim.profiling.ops.formulas.products import multiply_adds, sized
from jupyter_optim.profiling.ops.formulas.signature import (
    Formula,
    OpSignature,
    Shape,
    Unknown,
    Work,
    each_of,
    moved,
    read,
)


@dataclass(frozen=True, slots=True)
class AttentionInputs:
    """At which place an attention op has what; -1: it has no such input."""

    causal: int
    """A flag, or (memory-efficient kernels) a number: 1 is causal, 2 is causal from the lower right."""
    query: int = 0
    mask: int = -1
    lengths: int = -1
    """Ends of sequences that are packed one after another: where it is given, lengths are unknown."""
    heads_last: bool = False
    """(batch, sequence, heads, size) rather than (batch, heads, sequence, size)."""
    backward: bool = False
    window: int = -1


def attention(inputs: AttentionInputs) -> Formula:
    """Two products for each pair of query and key, five in the backward pass (scores are computed again).

    A causal kernel leaves out the pairs that the mask forbids, so they do not count here; in
    `torch.utils.flop_counter` they do. Where heads share keys and values, each query head counts.

    Source: Dao et al., FlashAttention-2 (arXiv:2307.08691), section 4.1.
    """

    def work(op: OpSignature) -> Work:
        q, k, v = (_by_head(op.shape(inputs.query + i), last=inputs.heads_last) for i in range(3))
        if len(q) < 2 or not len(q) == len(k) == len(v) or q[-1] != k[-1] or k[-2] != v[-2]:
            raise Unknown
        if any(inputs.lengths >= 0 and op.is_tensor(inputs.lengths + i) for i in range(2)):
            raise Unknown
        pairs = prod(q[:-2]) * _pairs(op, inputs, q[-2], k[-2])
        per_pair = 3 * q[-1] + 2 * v[-1] if inputs.backward else q[-1] + v[-1]
        places = range(inputs.query, inputs.query + 3)
        out = [((*q[:-1], v[-1]), op.type(inputs.query))]
        moves = read(op, *places, *([inputs.mask] if inputs.mask >= 0 else [])) + out
        if inputs.backward:
            moves += [*read(op, *places), *out]  # gradients: as large as what they are of
        return multiply_adds(pairs * per_pair, op.type(inputs.query)), moved(moves)

    return work


def _by_head(shape: Shape, *, last: bool) -> Shape:
    return (*shape[:-3], shape[-2], shape[-3], shape[-1]) if last and len(shape) > 2 else shape


def _pairs(op: OpSignature, inputs: AttentionInputs, queries: int, keys: int) -> int:
    if inputs.window >= 0 and op.text(inputs.window) not in {"", "-1"}:
        raise Unknown
    causal = op.text(inputs.causal)
    if causal in {"False", "0"}:
        return queries * keys
    if causal not in {"True", "1", "2"}:
        raise Unknown
    # query i sees the keys up to i; counted from the lower right, the last query sees the last key
    ahead = keys - queries if causal == "2" else 0
    first, last = max(0, -ahead), min(queries, keys - ahead)
    return (last - first) * (first + last + 1 + 2 * ahead) // 2 + (queries - last) * keys


def recurrent_layer(*, backward: bool) -> Formula:
    """``aten::mkldnn_rnn_layer``: one layer, one direction; its weights are the inputs 1 and 2.

    The backward pass has the gradient of the input and that of the weights: twice the forward pass.
    """

    def work(op: OpSignature) -> Work:
        x, weights = sized(op, 0, 3), (sized(op, 1, 2), sized(op, 2, 2))
        once = multiply_adds(x[0] * x[1] * sum(map(prod, weights)), op.type(0))
        out = ((*x[:2], weights[1][1]), op.type(0))
        inputs = read(op, 0, 1, 2, 3, 4, 5, 6)
        if backward:
            return 2 * once, moved([*inputs, out, out, *inputs])
        return once, moved([*inputs, out, *read(op, 5, 6)])

    return work


def recurrent(weights: int | None, mask: int = -1) -> Formula:
    """A whole recurrent net, all its weights in one list: each matrix meets each row of the input.

    Args:
        weights: the place of the list; None: the last list there is.
        mask: in a backward pass, the place of the mask of wanted gradients, of which the last is the weights'.
    """

    def work(op: OpSignature) -> Work:
        lists = [at for at in range(len(op.types)) if op.type(at) == "TensorList"]
        if weights is None and not lists:
            raise Unknown
        x = op.shape(0)
        matrices = [
            shape for shape in op.shapes_in(lists[-1] if weights is None else weights) if len(shape) == 2
        ]
        if len(x) < 2 or not matrices:
            raise Unknown
        once = multiply_adds(prod(x[:-1]) * sum(map(prod, matrices)), op.type(0))
        passes = 1 + op.flags(mask, 4)[3] if mask >= 0 else 1
        return passes * once, None  # the layers' outputs in between are not in the trace

    return work


ATTENTION: Mapping[str, Formula] = {
    name: attention(inputs)
    for name, inputs in {
        "scaled_dot_product_attention": AttentionInputs(causal=5, mask=3),
        "_scaled_dot_product_attention_math": AttentionInputs(causal=5, mask=3),
        "_scaled_dot_product_flash_attention_for_cpu": AttentionInputs(causal=4, mask=5),
        "_scaled_dot_product_flash_attention": AttentionInputs(causal=4),
        "_scaled_dot_product_efficient_attention": AttentionInputs(causal=6, mask=3),
        "_scaled_dot_product_cudnn_attention": AttentionInputs(causal=6, mask=3),
        "_scaled_dot_product_fused_attention_overrideable": AttentionInputs(causal=5, mask=3),
        "_flash_attention_forward": AttentionInputs(causal=8, lengths=3, heads_last=True, window=11),
        "_efficient_attention_forward": AttentionInputs(
            causal=9, mask=3, lengths=4, heads_last=True, window=13
        ),
        "_cudnn_attention_forward": AttentionInputs(causal=10, mask=3, lengths=4),
        "_scaled_dot_product_flash_attention_for_cpu_backward": AttentionInputs(
            causal=7, mask=8, query=1, backward=True
        ),
        "_scaled_dot_product_flash_attention_backward": AttentionInputs(
            causal=11, query=1, lengths=6, backward=True
        ),
        "_scaled_dot_product_efficient_attention_backward": AttentionInputs(
            causal=11, mask=4, query=1, backward=True
        ),
        "_scaled_dot_product_cudnn_attention_backward": AttentionInputs(
            causal=14, mask=8, query=1, lengths=9, backward=True
        ),
        "_flash_attention_backward": AttentionInputs(
            causal=11, query=1, lengths=6, heads_last=True, window=15, backward=True
        ),
        "_efficient_attention_backward": AttentionInputs(
            causal=14, mask=4, query=1, lengths=6, heads_last=True, window=18, backward=True
        ),
        "_cudnn_attention_backward": AttentionInputs(causal=14, mask=8, query=1, lengths=9, backward=True),
    }.items()
}

RECURRENT: Mapping[str, Formula] = {
    "mkldnn_rnn_layer": recurrent_layer(backward=False),
    "mkldnn_rnn_layer_backward": recurrent_layer(backward=True),
    **each_of("lstm gru rnn_tanh rnn_relu", recurrent(None)),
    **each_of("_cudnn_rnn miopen_rnn", recurrent(1)),
    "_cudnn_rnn_backward": recurrent(1, mask=21),
}
