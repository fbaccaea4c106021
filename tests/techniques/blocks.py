"""Blocks as people write them by hand, for tests of what is taken out of them, and of what they bear."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Grouped(nn.Module):
    """Grouped-query attention and a gated feed-forward, in the manner of Llama's first code."""

    def __init__(self, width: int = 64, heads: int = 8, groups: int = 4, inner: int = 128) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = heads, groups, width // heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wq = nn.Linear(width, width, bias=False)
        self.wk, self.wv = (nn.Linear(width, groups * self.head_dim, bias=False) for _ in range(2))
        self.wo = nn.Linear(width, width)
        self.w1, self.w2, self.w3 = nn.Linear(width, inner), nn.Linear(inner, width), nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        normed = self.norm1(x)
        q = self.wq(normed).view(batch, steps, self.n_heads, self.head_dim).transpose(1, 2)
        k, v = (
            layer(normed).view(batch, steps, self.n_kv_heads, self.head_dim).transpose(1, 2)
            for layer in (self.wk, self.wv)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        x = x + self.wo(mixed.transpose(1, 2).reshape(batch, steps, -1))
        normed = self.norm2(x)
        return x + self.w2(F.silu(self.w1(normed)) * self.w3(normed))


class Fused(nn.Module):
    """Queries, keys and values in one layer, head by head, as in GPT-NeoX."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.query_key_value, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        q, k, v = (
            self.query_key_value(x).view(batch, steps, -1, 3 * self.head_dim).transpose(1, 2).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.dense(mixed.transpose(1, 2).reshape(batch, steps, -1))


def grouped() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Grouped(), Grouped(), nn.Linear(64, 10)).eval()


def fused() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Fused(), Fused()).eval()


def encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).eval()


class Harmed(nn.Module):
    """One of its layers gets a value a thousand times as large as the rest, which takes their precision from them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.spoilt, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 8)
        self.first.bias.data[0] = 4.0  # its first answer is always large
        self.spoilt.weight.data[:, 0] = 0
        self.register_buffer("large", torch.ones(64).index_fill(0, torch.tensor([0]), 3e3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.spoilt(torch.tanh(self.first(x)) * self.large))
