"""Attention spelt out, in a graph of calls: found, and put as one call of scaled_dot_product_attention.

What is found: a product of queries and keys, scaled and masked in any of the usual ways, a softmax over the last
dimension, dropout that is off, and a product with the values. Whatever else reads the scores or the weights keeps the
layer as it is.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

_PRODUCTS = ("matmul", "bmm")
_SUMS = ("add", "iadd", "add_")
_FILLS = ("masked_fill", "masked_fill_")
_NO_CHANGE = ("float", "to", "type_as", "contiguous", "dropout", "identity")
"""Calls that leave the values as they are, where the type stays the same and dropout is off."""


class NoAttention(Exception):
    """Why a softmax is not that of an attention which can be put as one call."""


@dataclass
class _Attention:
    """One attention: what it is made of."""

    product: fx.Node
    out: fx.Node
    scales: list[tuple[str, Any]] = field(default_factory=list)
    """``mul`` or ``div``, and by what."""
    fills: list[tuple[Any, Any, bool]] = field(default_factory=list)
    """Where, with which value, and whether it is where the condition is false."""
    biases: list[fx.Node] = field(default_factory=list)
    links: list[fx.Node] = field(default_factory=list)
    """Nodes that are of no use afterwards, in order."""
    dropouts: list[str] = field(default_factory=list)
    """Dropout layers that are passed over."""


def fuse_attentions_(module: nn.Module, graph: fx.Graph) -> tuple[int, list[str]]:
    """Put each attention in `graph` as one call. The graph's nodes must have their values noted.

    Returns:
        How many there were, and the names of their dropout layers, which must be off.

    Raises:
        NoAttention: there is none; why not, for the first softmax.
    """
    found, reasons, dropouts = 0, [], []
    for node in list(graph.nodes):
        if _op(node, module) != "softmax":
            continue
        try:
            attention = _around(node, module)
        except NoAttention as reason:
            reasons.append(str(reason))
            continue
        _rewrite_(graph, attention)
        dropouts += attention.dropouts
        found += 1
    if not found:
        raise NoAttention(reasons[0] if reasons else "its softmax is not in its own forward")
    graph.lint()
    return found, dropouts


def _op(node: fx.Node, module: nn.Module) -> str:
    """What a node does, by one name for method, function and layer."""
    if node.op == "call_method":
        return str(node.target)
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        kinds = {nn.Softmax: "softmax", nn.Dropout: "dropout", nn.Identity: "identity"}
        return kinds.get(type(layer), type(layer).__name__)
    return node.op


def _around(softmax: fx.Node, module: nn.Module) -> _Attention:
    _check_dimension(softmax, module)
    links = [softmax]
    dropouts: list[str] = []
    out = _only_reader(softmax)
    while _op(out, module) in _NO_CHANGE:
        if out.meta.get("dtype") != softmax.meta.get("dtype"):
            raise NoAttention("its weights change their type after the softmax")
        if _op(out, module) == "dropout":
            _check_dropout(out, module, dropouts)
        links.append(out)
        out = _only_reader(out)
    if _op(out, module) not in _PRODUCTS or out.args[0] is not links[-1]:
        raise NoAttention(
            f"its softmax is followed by `{_op(out, module)}`, and not by a product with values"
        )
    attention = _Attention(product=softmax, out=out, links=links, dropouts=dropouts)
    _upwards(attention, softmax, module)
    return attention


def _upwards(attention: _Attention, softmax: fx.Node, module: nn.Module) -> None:
    """From the softmax to the product of queries and keys."""
    node, shape = softmax.args[0], softmax.meta["shape"]
    while True:
        if not isinstance(node, fx.Node) or len(node.users) != 1:
            raise NoAttention("its scores are read elsewhere too")
        op = _op(node, module)
        attention.links.insert(0, node)
        if op in _PRODUCTS:
            attention.product = node
            if node.meta["dtype"] != attention.out.meta["dtype"]:
                raise NoAttention("its scores have another type than its values")
            return
        if op in _SUMS and not attention.scales and "alpha" not in node.kwargs:
            node, other = _operands(node, shape)
            if not isinstance(other, fx.Node) or "shape" not in other.meta:
                raise NoAttention("a number is added to its scores")
            attention.biases.append(other)
        elif op in ("mul", "imul", "multiply", "mul_"):
            node, other = _operands(node, shape)
            attention.scales.append(("mul", _scale(other)))
        elif (
            op in ("truediv", "div", "itruediv", "true_divide", "div_") and "rounding_mode" not in node.kwargs
        ):
            attention.scales.append(("div", _scale(node.args[1])))
            node = node.args[0]
        elif op in _FILLS and len(node.args) == 3:
            node, where, value = node.args
            attention.fills.append((where, value, False))
        elif op == "where" and len(node.args) == 3:
            where, kept, value = node.args
            inverted = isinstance(kept, fx.Node) and kept.meta.get("shape") == shape
            attention.fills.append((where, value if inverted else kept, inverted))
            node = kept if inverted else value
        elif op in _NO_CHANGE and op != "dropout" and node.meta["dtype"] == node.args[0].meta.get("dtype"):  # type: ignore[union-attr]
            node = node.args[0]
        else:
            raise NoAttention(f"`{op}` is between its scores and its softmax")


def _only_reader(node: fx.Node) -> fx.Node:
    if len(node.users) != 1:
        raise NoAttention("its attention weights are read elsewhere too")
    return next(iter(node.users))


def _check_dimension(softmax: fx.Node, module: nn.Module) -> None:
    if softmax.op == "call_module":
        dim = getattr(module.get_submodule(str(softmax.target)), "dim", None)
    else:
        dim = softmax.kwargs.get("dim", softmax.args[1] if len(softmax.args) > 1 else None)
    if dim not in (-1, len(softmax.meta["shape"]) - 1):
        raise NoAttention("its softmax is not over the last dimension")
    scores = softmax.args[0]
    if not isinstance(scores, fx.Node) or scores.meta.get("dtype") != softmax.meta["dtype"]:
        raise NoAttention("its softmax is computed in another type than its scores")


def _check_dropout(node: fx.Node, module: nn.Module, dropouts: list[str]) -> None:
    if node.op == "call_module":
        if module.get_submodule(str(node.target)).training:
            raise NoAttention("its dropout is in train mode")
        dropouts.append(str(node.target))
        return
    training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
    if training is not False:
        raise NoAttention("its dropout is always on")


def _operands(node: fx.Node, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The scores among the two operands, and the other one."""
    first, second = node.args[:2]
    scores_first = isinstance(first, fx.Node) and first.meta.get("shape") == shape
    return (first, second) if scores_first else (second, first)


def _scale(value: Any) -> Any:
    """A factor of the scores, as far as it is one of whole rows of queries too."""
    if (
        isinstance(value, fx.Node)
        and "shape" in value.meta
        and any(each != 1 for each in value.meta["shape"][-2:])
    ):
        raise NoAttention("its scores are multiplied by a tensor")
    return value


def _rewrite_(graph: fx.Graph, attention: _Attention) -> None:
    query, keys = attention.product.args[:2]
    with graph.inserting_before(attention.out):
        key = graph.call_method("transpose", (keys, -2, -1))
        if isinstance(keys, fx.Node) and _is_transposed(keys):
            graph.erase_node(key)
            key = keys.args[0]  # type: ignore[assignment]
        query, scale = _scaled(graph, query, attention.scales)
        operands = [query, key, attention.out.args[1]]
        mask = _mask(graph, query, attention)
        flat = len(attention.product.meta["shape"]) == 3
        if flat:
            # the fast kernels take four dimensions, and masks of two or four
            operands = [graph.call_method("unsqueeze", (each, 0)) for each in operands]
            mask = graph.call_method("unsqueeze", (mask, 0)) if _mask_dims(attention) == 3 else mask
        settings = {"attn_mask": mask, "scale": scale}
        fused = graph.call_function(F.scaled_dot_product_attention, tuple(operands), settings)
        if flat:
            fused = graph.call_method("squeeze", (fused, 0))
    attention.out.replace_all_uses_with(fused)
    unused = [attention.out, *reversed(attention.links)]
    if isinstance(keys, fx.Node):
        unused.append(keys)
    for node in unused:
        if not node.users:
            graph.erase_node(node)


def _is_transposed(keys: fx.Node) -> bool:
    """Whether it is a transposition of the last two dimensions."""
    if keys.target not in ("transpose", torch.transpose, "swapaxes") or len(keys.args) != 3:
        return False
    dims = len(keys.meta["shape"])
    return {int(each) % dims for each in keys.args[1:]} == {dims - 1, dims - 2}  # type: ignore[arg-type]


def _scaled(graph: fx.Graph, query: Any, scales: list[tuple[str, Any]]) -> tuple[Any, Any]:
    """The queries, multiplied by what is a tensor, and the product of all other factors."""
    scale: Any = 1.0
    for kind, value in reversed(scales):
        change = operator.mul if kind == "mul" else operator.truediv
        if isinstance(value, fx.Node) and "shape" in value.meta:
            query = graph.call_function(change, (query, value))
        elif isinstance(value, fx.Node) or isinstance(scale, fx.Node):
            scale = graph.call_function(change, (scale, value))
        else:
            scale = change(scale, value)
    return query, scale


def _mask(graph: fx.Graph, query: Any, attention: _Attention) -> Any:
    """All masks as one: boolean where that is all there is to say, else numbers to add; None without any."""
    fills, biases = attention.fills, attention.biases
    if len(fills) == 1 and not biases and _number(fills[0][1]) == -math.inf:
        where, _, keeps = fills[0]
        return where if keeps else graph.call_method("logical_not", (where,))
    if not fills and not biases:
        return None
    dtype = graph.call_function(getattr, (query, "dtype"))
    total: Any = None
    for where, value, keeps in fills:
        hidden = graph.call_method("logical_not", (where,)) if keeps else where
        zeros = graph.call_function(torch.zeros_like, (where,), {"dtype": dtype})
        filled = graph.call_method("masked_fill", (zeros, hidden, value))
        total = filled if total is None else graph.call_function(operator.add, (total, filled))
    for bias in biases:
        own = graph.call_method("to", (bias, dtype))
        total = own if total is None else graph.call_function(operator.add, (total, own))
    return total


def _mask_dims(attention: _Attention) -> int:
    parts = [*(where for where, _, _ in attention.fills), *attention.biases]
    return max((len(each.meta.get("shape", ())) for each in parts), default=0)


def _number(value: Any) -> float | None:
    if isinstance(value, fx.Node):
        return value.meta.get("number")
    return float(value) if isinstance(value, int | float) else None
