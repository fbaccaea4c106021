"""Models that do what a tool does not expect."""

from __future__ import annotations

import threading
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tests.zoo.dense import plain_mlp
from tests.zoo.entry import Built, Entry, entry


class SharedTwice(nn.Module):
    """One layer under two names, and called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(64, 64)
        self.again = self.enter
        self.leave = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.again(self.enter(self.again(x).relu()).relu()))


class Counter(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.body(x - self.mean)


class SecondDiffers(nn.Module):
    """Its answer depends on how often it was called, by a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.body(x) * self.calls


class OnceByAttribute(nn.Module):
    """Refuses a second call until it is reset, and knows so by an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.used = False

    def forward(self, x: Tensor) -> Tensor:
        if self.used:
            raise RuntimeError("call reset() before the next sequence")
        self.used = True
        return self.body(x)


class OnceByStream(nn.Module):
    """Refuses a second call: it reads a stream that nobody can rewind."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.read = stream.__next__

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.body(x + self.read())
        except StopIteration:
            raise RuntimeError("the stream has ended") from None


class InPlace(nn.Module):
    """Writes to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5).add_(1.0)
        return self.fc(F.relu(x, inplace=True))


class CachesAttribute(nn.Module):
    """Keeps a table that it builds at the first call, and a list of sizes that it saw."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.table: Tensor | None = None
        self.sizes: list[int] = []
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None or self.table.shape[0] != x.shape[1]:
            angles = torch.arange(x.shape[1])[:, None] / 100 ** (torch.arange(self.width) / self.width)
            self.table = angles.sin().to(x.dtype)
        self.sizes.append(x.shape[1])
        return self.fc(x + self.table)


class BuildsAtFirstCall(nn.Module):
    """Makes its layer when it first sees its input's width."""

    def __init__(self) -> None:
        super().__init__()
        self.fc: nn.Linear | None = None
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.fc is None:
            self.fc = nn.Linear(x.shape[-1], 16)
        return self.head(self.fc(x).relu())


class CustomCall(nn.Module):
    """Has a `__call__` of its own around PyTorch's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(x / x.norm(dim=-1, keepdim=True), *args, **kwargs) + 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Proxy(nn.Module):
    """Passes unknown attributes on to the model inside, as wrappers do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class ComplexFilter(nn.Module):
    """Filters in the frequency domain with complex weights."""

    def __init__(self, steps: int = 64) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(steps // 2 + 1, dtype=torch.complex64))
        self.mix = nn.Linear(steps // 2 + 1, steps // 2 + 1, dtype=torch.complex64)
        self.head = nn.Linear(steps, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = self.mix(torch.fft.rfft(x) * self.filter)
        return self.head(torch.fft.irfft(spectrum, n=x.shape[-1])), spectrum


class OwnParameters(nn.Module):
    """Multiplies by parameters of its own, without any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(32, 8))
        self.bias = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class NoParameters(nn.Module):
    """Only buffers: a normaliser."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(3, 1, 1))
        self.register_buffer("spread", torch.rand(3, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.spread


class HiddenLayers(nn.Module):
    """Holds layers in a plain list, a tensor in an attribute, and a way back to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(32, 32)
        self.hidden = [nn.Linear(32, 32), nn.Linear(32, 8)]
        self.mask = torch.rand(32) > 0.5
        self.owner = [self]

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x) * self.mask
        for layer in self.hidden:
            x = layer(x)
        return x + len(self.owner)


class Locked(nn.Module):
    """Holds a lock, which nobody can copy."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return self.body(x)


class OwnGenerator(nn.Module):
    """Draws noise from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain_mlp(32, 64, 8)
        self.generator = torch.Generator().manual_seed(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x + torch.randn(x.shape, generator=self.generator))


class Forces(nn.Module):
    """Answers the gradient of what it computes: it needs autograd also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 64), nn.Softplus(), nn.Linear(64, 1))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            positions = positions.detach().requires_grad_(True)
            energy = self.energy(positions).sum()
            (slope,) = torch.autograd.grad(energy, positions)
        return energy.detach(), -slope


def _shared() -> Built:
    return SharedTwice(), torch.randn(16, 64)


def _counter() -> Built:
    return Counter(), torch.randn(16, 32)


def _second_differs() -> Built:
    return SecondDiffers(), torch.randn(16, 32)


def _once_by_attribute() -> Built:
    return OnceByAttribute(), torch.randn(16, 32)


def _once_by_stream() -> Built:
    return OnceByStream(iter([0.5])), torch.randn(16, 32)


def _in_place() -> Built:
    return InPlace(), torch.randn(16, 32)


def _caches() -> Built:
    return CachesAttribute(), torch.randn(4, 10, 32)


def _builds() -> Built:
    return BuildsAtFirstCall(), torch.randn(8, 24)


def _custom_call() -> Built:
    return CustomCall(), torch.randn(16, 32)


def _proxy() -> Built:
    return Proxy(plain_mlp(32, 64, 8)), torch.randn(16, 32)


def _complex() -> Built:
    return ComplexFilter(), torch.randn(8, 64)


def _own_parameters() -> Built:
    return OwnParameters(), torch.randn(16, 32)


def _no_parameters() -> Built:
    return NoParameters(), torch.rand(4, 3, 16, 16)


def _identity() -> Built:
    return nn.Identity(), torch.randn(4, 4)


def _hidden_layers() -> Built:
    return HiddenLayers(), torch.randn(16, 32)


def _locked() -> Built:
    return Locked(), torch.randn(16, 32)


def _own_generator() -> Built:
    return OwnGenerator(), torch.randn(16, 32)


def _forces() -> Built:
    return Forces(), torch.randn(32, 3)


ENTRIES: tuple[Entry, ...] = (
    entry("shared-module", _shared, "awkward", "shared"),
    entry("counter", _counter, "awkward", "stateful"),
    entry("second-call-differs", _second_differs, "awkward", "stateful"),
    entry("once-by-attribute", _once_by_attribute, "awkward", "stateful"),
    entry("once-by-stream", _once_by_stream, "awkward", "one-shot"),
    entry("in-place-input", _in_place, "awkward"),
    entry("caches-attribute", _caches, "awkward", "stateful"),
    entry("builds-at-first-call", _builds, "awkward", "stateful"),
    entry("custom-call", _custom_call, "awkward"),
    entry("proxy", _proxy, "awkward"),
    entry("complex", _complex, "awkward", "complex"),
    entry("own-parameters", _own_parameters, "awkward"),
    entry("no-parameters", _no_parameters, "awkward"),
    entry("identity", _identity, "awkward"),
    entry("hidden-layers", _hidden_layers, "awkward"),
    entry("locked", _locked, "awkward"),
    entry("own-generator", _own_generator, "awkward", "stateful"),
    entry("forces", _forces, "awkward"),
)
