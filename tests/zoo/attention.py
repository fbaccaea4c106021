"""Transformers and their like, of plain PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tests.zoo.entry import Built, Entry, entry


class MaskedEncoder(nn.Module):
    """PyTorch's encoder with a padding mask: it takes the fused path in evaluation mode."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 128, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=padding)


class HandWrittenAttention(nn.Module):
    """Attention spelt out, as in a tutorial."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape
        q, k, v = (
            layer(x).view(batch, steps, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        mask = torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, width))


class CausalLM(nn.Module):
    """A small decoder; its output layer shares the embedding's weight."""

    def __init__(self, vocabulary: int = 256, width: int = 64, depth: int = 2, context: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width, bias=False),
                    "out": nn.Linear(width, width, bias=False),
                    "norm2": nn.LayerNorm(width),
                    "mlp": nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
                }
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position[: tokens.shape[1]]
        batch, steps, width = x.shape
        for block in self.blocks:
            qkv = block["qkv"](block["norm1"](x)).view(batch, steps, 3, 4, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["out"](mixed.transpose(1, 2).reshape(batch, steps, width))
            x = x + block["mlp"](block["norm2"](x))
        return self.head(self.norm(x))


class Recommender(nn.Module):
    """Bags of item ids and a user id against candidates."""

    def __init__(self, items: int = 1000, users: int = 100, width: int = 32) -> None:
        super().__init__()
        self.items = nn.EmbeddingBag(items, width, mode="mean")
        self.users = nn.Embedding(users, width)
        self.tower = nn.Sequential(nn.Linear(2 * width, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, user: Tensor, history: Tensor, offsets: Tensor) -> Tensor:
        return self.tower(torch.cat([self.users(user), self.items(history, offsets)], 1)).sigmoid()


class MixtureOfExperts(nn.Module):
    """Each row goes to the expert that the gate prefers: which layers run depends on the data."""

    def __init__(self, width: int = 64, experts: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
            for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero().squeeze(1)
            if rows.numel():
                out[rows] = weights[rows, None] * expert(x[rows])
        return out


class GraphAttention(nn.Module):
    """Messages along edges, gathered by index."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(16, width), nn.Linear(width, 4)
        self.score = nn.Linear(2 * width, 1)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        hidden = self.enter(nodes)
        source, target = edges
        score = self.score(torch.cat([hidden[source], hidden[target]], 1)).exp()
        total = score.new_zeros(len(nodes), 1).index_add(0, target, score)
        mixed = torch.zeros_like(hidden).index_add(0, target, score * hidden[source])
        return self.leave(F.elu(mixed / total.clamp_min(1e-6)))


def _transformer() -> Built:
    model = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
    return model, (torch.randn(2, 10, 32), torch.randn(2, 7, 32))


def _encoder() -> Built:
    layer = nn.TransformerEncoderLayer(64, 4, 128, activation="gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(4, 16, 64)


def _masked_encoder() -> Built:
    padding = torch.arange(16) >= torch.tensor([16, 9, 12, 5])[:, None]
    return MaskedEncoder(), {"x": torch.randn(4, 16, 64), "padding": padding}


def _multihead() -> Built:
    x = torch.randn(4, 16, 64)
    return nn.MultiheadAttention(64, 4, batch_first=True), (x, x, x)


def _hand_written() -> Built:
    return HandWrittenAttention(), torch.randn(4, 24, 64)


def _causal_lm() -> Built:
    return CausalLM(), torch.randint(0, 256, (2, 32))


def _recommender() -> Built:
    inputs = (torch.randint(0, 100, (16,)), torch.randint(0, 1000, (64,)), torch.arange(0, 64, 4))
    return Recommender(), inputs


def _mixture() -> Built:
    return MixtureOfExperts(), torch.randn(64, 64)


def _graph() -> Built:
    return GraphAttention(), (torch.randn(50, 16), torch.randint(0, 50, (2, 200)))


ENTRIES: tuple[Entry, ...] = (
    entry("transformer", _transformer, "attention"),
    entry("transformer-encoder", _encoder, "attention"),
    entry("transformer-encoder-masked", _masked_encoder, "attention", "fast-path"),
    entry("transformer-encoder-training", _encoder, "attention", "random", training=True),
    entry("multihead-attention", _multihead, "attention"),
    entry("hand-written-attention", _hand_written, "attention"),
    entry("causal-lm", _causal_lm, "attention", "tied", "integer-inputs"),
    entry("recommender", _recommender, "integer-inputs"),
    entry("mixture-of-experts", _mixture, "control-flow"),
    entry("graph-attention", _graph, "integer-inputs"),
)
