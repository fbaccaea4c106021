"""Models of fully connected layers."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tests.zoo.entry import Built, Entry, entry


class ResidualMLP(nn.Module):
    """Normalised residual blocks, as in tabular models."""

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(30, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
            for _ in range(depth)
        )
        self.leave = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        return self.leave(x)


class NestedContainers(nn.Module):
    """Lists in dicts in sequences, and parameters of its own beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                "short": nn.Sequential(nn.Linear(32, 64), nn.ReLU()),
                "long": nn.ModuleList([nn.Linear(32, 48), nn.Sequential(nn.Tanh(), nn.Linear(48, 64))]),
            }
        )
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(64)), nn.Parameter(torch.full((64,), 0.5))])
        self.offsets = nn.ParameterDict({"out": nn.Parameter(torch.zeros(8))})
        self.leave = nn.Linear(64, 8)

    def forward(self, x: Tensor) -> Tensor:
        long = x
        for layer in self.branches["long"]:
            long = layer(long)
        return (
            self.leave(self.branches["short"](x) * self.scales[0] + long * self.scales[1])
            + self.offsets["out"]
        )


class TiedAutoencoder(nn.Module):
    """Decodes with the transposed weight of its encoder, which it reads directly."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(64, 16)
        self.offset = nn.Parameter(torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.sigmoid(self.encoder(x)), self.encoder.weight.t(), self.offset)


class ReadsWeights(nn.Module):
    """Never calls its layers, but reads their weights: what replaces a layer must still have them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(F.linear(x, self.fc.weight, self.fc.bias))
        return self.head(hidden) + 0.01 * self.fc.weight.sum()


def plain_mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _normalised() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip


def _bare_linear() -> Built:
    return nn.Linear(256, 256), torch.randn(64, 256)


def _mlp() -> Built:
    return plain_mlp(64, 256, 256, 10), torch.randn(32, 64)


def _mlp_single() -> Built:
    return plain_mlp(64, 256, 256, 10), torch.randn(64)


def _mlp_batchnorm() -> Built:
    return _normalised(), torch.randn(32, 64)


def _deep_narrow() -> Built:
    return plain_mlp(*[16] * 101), torch.randn(4, 16)


def _wide() -> Built:
    return plain_mlp(1024, 4096, 4096, 1000), torch.randn(32, 1024)


def _float64() -> Built:
    return plain_mlp(32, 64, 8).double(), torch.randn(16, 32, dtype=torch.float64)


def _bfloat16() -> Built:
    return plain_mlp(64, 256, 256, 10).bfloat16(), torch.randn(32, 64, dtype=torch.bfloat16)


def _residual() -> Built:
    return ResidualMLP(), torch.randn(64, 30)


def _nested_containers() -> Built:
    return NestedContainers(), torch.randn(16, 32)


def _tied_autoencoder() -> Built:
    return TiedAutoencoder(), torch.rand(32, 64)


def _reads_weights() -> Built:
    return ReadsWeights(), torch.randn(16, 64)


def _lazy_ran() -> Built:
    model = nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(10))
    inputs = torch.randn(16, 20)
    model(inputs)
    return model, inputs


def _fine_tuned() -> Built:
    model, inputs = plain_mlp(64, 128, 128, 10), torch.randn(32, 64)
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    model(inputs).square().mean().backward()
    return model, inputs


def _empty_batch() -> Built:
    return plain_mlp(16, 32, 4), torch.randn(0, 16)


ENTRIES: tuple[Entry, ...] = (
    entry("linear", _bare_linear, "dense"),
    entry("mlp", _mlp, "dense", "tiny"),
    entry("mlp-one-sample", _mlp_single, "dense"),
    entry("mlp-batchnorm", _mlp_batchnorm, "dense"),
    entry("mlp-training", _mlp_batchnorm, "dense", "stateful", "random", training=True),
    entry("mlp-deep-narrow", _deep_narrow, "dense", "overhead-bound"),
    entry("mlp-wide", _wide, "dense", "slow"),
    entry("mlp-float64", _float64, "dense", "float64"),
    entry("mlp-bfloat16", _bfloat16, "dense", "bfloat16"),
    entry("mlp-residual", _residual, "dense"),
    entry("nested-containers", _nested_containers, "dense"),
    entry("tied-autoencoder", _tied_autoencoder, "dense", "tied"),
    entry("reads-weights", _reads_weights, "dense"),
    entry("lazy-linear", _lazy_ran, "dense"),
    entry("fine-tuned", _fine_tuned, "dense", "gradients", training=True),
    entry("empty-batch", _empty_batch, "dense"),
)
