"""What can be taken out of a transformer: feed-forward channels and attention heads.

Here they are guessed from names, shapes and nesting; `proof` tries each guess out. The residual width is in no part,
so embeddings, norms and heads of the model stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from jupyter_optim.techniques.matrices import is_matrix, shared_weights, widths

_QUERIES = frozenset({
    "q", "query", "q_proj", "q_lin", "wq", "w_q", "to_q", "q_linear", "linear_q", "query_proj", "q_layer", "queries",
})  # fmt: skip
_FUSED = frozenset({
    "qkv", "c_attn", "query_key_value", "qkv_proj", "to_qkv", "wqkv", "w_qkv", "in_proj", "attn_qkv", "c_qkv",
})  # fmt: skip
_HEAD_SIZES = (
    "head_dim",
    "attention_head_size",
    "head_size",
    "d_head",
    "dim_head",
    "key_value_proj_dim",
    "d_k",
    "d_kv",
)
HEAD_COUNTS = (
    "num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "nhead", "n_local_heads", "num_q_heads", "h",
)  # fmt: skip
KEY_VALUE_COUNTS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head", "n_local_kv_heads")
HEAD_WIDTHS = ("all_head_size", "split_size", "inner_dim", "q_size")
_MOST_LAYERS = 16
"""Matrices in one block, at most; what holds more is a stack of blocks."""

Kind = Literal["feed-forward channels", "attention heads"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """A layer whose outputs a part cuts: seen as (blocks, units, size), units are taken out of all blocks."""

    path: str
    blocks: int
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Units between some layers and the one that takes their outputs."""

    kind: Kind
    path: str
    """Of the block that holds these layers."""
    producers: tuple[Outputs, ...]
    consumer: str
    units: int
    """Channels; or heads, in grouped-query attention with all their queries."""
    size: int
    """Inputs of the consumer for each unit."""
    queries: int = 1
    """Query heads in a unit."""
    sort: str = ""
    """Equal for parts of equal blocks."""


def guesses(root: nn.Module) -> list[tuple[Part, ...]]:
    """Each item is one place, with the ways in which its units may lie in memory."""
    shared = shared_weights(root)
    claimed: set[nn.Module] = set()
    found: list[tuple[Part, ...]] = []
    # children before their parents, so that a part belongs to the smallest block that holds it
    for path, block in reversed(list(root.named_modules())):
        layers = {
            f"{path}.{name}" if path else name: module
            for name, module in block.named_modules()
            if name and is_matrix(module) and module not in claimed and not shared & _ids(module)
        }
        if isinstance(block, nn.ModuleList) or not 2 <= len(layers) <= _MOST_LAYERS:
            continue
        sort = f"{type(block).__module__}.{type(block).__qualname__} {block!r}"
        heads = _heads(path, block, layers, sort)
        if heads:
            found.append(heads)
            claimed.update(layers[name] for name in _paths(heads[0]))
        rest = {
            name: module
            for name, module in layers.items()
            if module not in claimed and _last(name) not in _ATTENTION_NAMES
        }
        channels = _channels(path, rest, sort)
        if channels:
            found.append((channels,))
            claimed.update(layers[name] for name in _paths(channels))
    return found[::-1]


def _paths(part: Part) -> tuple[str, ...]:
    return (*(each.path for each in part.producers), part.consumer)


def _ids(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module._parameters.values()}


def _last(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _named(query: str) -> tuple[str, str]:
    """The names of the keys' and the values' layer beside a layer of queries."""
    if query == "queries":
        return "keys", "values"
    if "query" in query:
        return query.replace("query", "key"), query.replace("query", "value")
    return query.replace("q", "k", 1), query.replace("q", "v", 1)


_ATTENTION_NAMES = _FUSED | _QUERIES | {name for query in _QUERIES for name in _named(query)}


def _channels(path: str, layers: Mapping[str, nn.Module], sort: str) -> Part | None:
    """A pair of layers, or three of a gated one, with something of a width of its own between them."""
    order = list(layers)
    wide, narrow = [], []
    for name, module in layers.items():
        inner, outer = widths(module)
        if inner == outer and (len(layers) > 3 or name != order[-1]):
            continue  # a square one: only the last of a pair or a gated three
        producers = tuple(
            Outputs(other, widths(each)[1] // inner, 1)
            for other, each in layers.items()
            if other != name and widths(each) in ((outer, inner), (outer, 2 * inner))
        )
        if 1 <= len(producers) <= 2 and sum(each.blocks for each in producers) <= 2:
            part = Part("feed-forward channels", path, producers, name, inner, 1, sort=sort)
            if inner > outer:
                wide.append(part)
            elif all(order.index(each.path) < order.index(name) for each in producers):
                narrow.append(part)
    found = wide or narrow
    return found[0] if len(found) == 1 else None


def _heads(path: str, block: nn.Module, layers: Mapping[str, nn.Module], sort: str) -> tuple[Part, ...]:
    """Queries, keys, values in layers of their own or in one, and the layer that takes the heads together."""
    by_name: dict[str, list[str]] = {}
    for name in layers:
        by_name.setdefault(_last(name), []).append(name)
    for query in _QUERIES & by_name.keys():
        trio = [by_name.get(each, []) for each in (query, *_named(query))]
        if all(len(each) == 1 for each in trio):
            return _separate_heads(path, block, layers, [each[0] for each in trio], sort)
    for fused in _FUSED & by_name.keys():
        if len(by_name[fused]) == 1:
            return _fused_heads(path, block, layers, by_name[fused][0], sort)
    return ()


def _separate_heads(
    path: str, block: nn.Module, layers: Mapping[str, nn.Module], trio: list[str], sort: str
) -> tuple[Part, ...]:
    outer, width = widths(layers[trio[0]])
    narrow = widths(layers[trio[1]])[1]
    size = _head_size(block, width)
    out = _consumer(layers, trio, width, outer)
    if size is None or out is None or narrow % size or width % narrow or widths(layers[trio[2]])[1] != narrow:
        return ()
    units, queries = narrow // size, width // narrow
    if units < 2:
        return ()
    producers = (Outputs(trio[0], 1, queries * size), Outputs(trio[1], 1, size), Outputs(trio[2], 1, size))
    return (Part("attention heads", path, producers, out, units, queries * size, queries, sort),)


def _fused_heads(
    path: str, block: nn.Module, layers: Mapping[str, nn.Module], fused: str, sort: str
) -> tuple[Part, ...]:
    outer, three = widths(layers[fused])
    width = three // 3
    size = _head_size(block, width)
    out = _consumer(layers, [fused], width, outer)
    if three % 3 or size is None or out is None or width // size < 2:
        return ()
    lies = (Outputs(fused, 3, size), Outputs(fused, 1, 3 * size))
    return tuple(Part("attention heads", path, (each,), out, width // size, size, sort=sort) for each in lies)


def _consumer(layers: Mapping[str, nn.Module], taken: list[str], width: int, outer: int) -> str | None:
    for name, module in layers.items():
        if name not in taken and _last(name) not in _ATTENTION_NAMES and widths(module) == (width, outer):
            return name
    return None


def _head_size(block: nn.Module, width: int) -> int | None:
    """Channels of a head, by what the block's modules say of themselves."""
    for names, per_head in ((_HEAD_SIZES, True), (HEAD_COUNTS, False)):
        for module in block.modules():
            for name in names:
                value = module.__dict__.get(name)
                if type(value) is int and 0 < value <= width and width % value == 0:
                    return value if per_head else width // value
    return None


def kept_rows(outputs: Outputs, units: int, kept: torch.Tensor) -> torch.Tensor:
    """Numbers of the rows of a producer's weight that stay."""
    rows = torch.arange(outputs.blocks * units * outputs.size).view(outputs.blocks, units, outputs.size)
    return rows[:, kept].flatten()
