"""Models that something else already took in hand: norms, parametrizations, masks, hooks, scripts."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from tests.zoo.dense import plain_mlp
from tests.zoo.entry import Built, Entry, entry
from tests.zoo.vision import DigitsCNN


class Symmetric(nn.Module):
    """A parametrization: the upper triangle, mirrored."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


class Scripted(nn.Module):
    """Has control flow, so that scripting it differs from tracing it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(32, 64), nn.Linear(64, 8)

    def forward(self, x: Tensor, rounds: int) -> Tensor:
        x = self.fc1(x)
        for _ in range(rounds):
            x = torch.relu(x)
        return self.fc2(x)


class Hooked(nn.Module):
    """Hooks that its user set: one records, one changes an input, one changes an output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = plain_mlp(32, 64, 64), nn.Linear(64, 8)
        self.seen: dict[str, int] = {}
        self.body.register_forward_hook(self._record)
        self.head.register_forward_pre_hook(lambda _module, args: (args[0].clamp(-1, 1),))
        self.head.register_forward_hook(lambda _module, _args, output: output * 2)

    def _record(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        self.seen["width"] = output.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class PartlyScripted(nn.Module):
    """Holds a script as one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(32, 32)
        self.middle = _without_warnings(torch.jit.script, plain_mlp(32, 64, 32))
        self.leave = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.middle(self.enter(x)))


def _without_warnings(make: Any, *args: Any, **kwargs: Any) -> Any:
    """What `make` gives; deprecated ways are still in use, and so belong into the zoo."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def _weight_norm_old() -> Built:
    model = plain_mlp(32, 64, 8)
    model[0] = _without_warnings(weight_norm, model[0])
    return model, torch.randn(16, 32)


def _weight_norm() -> Built:
    model = DigitsCNN()
    parametrizations.weight_norm(model.conv2)
    parametrizations.weight_norm(model.fc1)
    return model, torch.rand(8, 1, 8, 8)


def _spectral_norm_old() -> Built:
    model = nn.Sequential(spectral_norm(nn.Linear(32, 64)), nn.ReLU(), spectral_norm(nn.Linear(64, 8)))
    return model, torch.randn(16, 32)


def _spectral_norm() -> Built:
    layers = [parametrizations.spectral_norm(nn.Linear(32, 64)), nn.ReLU(), nn.Linear(64, 8)]
    return nn.Sequential(*layers), torch.randn(16, 32)


def _parametrized() -> Built:
    model = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 8))
    parametrize.register_parametrization(model[0], "weight", Symmetric())
    return model, torch.randn(16, 48)


def _masked() -> Built:
    model = plain_mlp(32, 64, 8)
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    return model, torch.randn(16, 32)


def _script() -> Built:
    return _without_warnings(torch.jit.script, Scripted()), (torch.randn(16, 32), 2)


def _trace() -> Built:
    inputs = torch.rand(8, 1, 8, 8)
    return _without_warnings(torch.jit.trace, DigitsCNN().eval(), inputs), inputs


def _partly_scripted() -> Built:
    return PartlyScripted(), torch.randn(16, 32)


def _hooks() -> Built:
    return Hooked(), torch.randn(16, 32)


def _data_parallel() -> Built:
    return nn.DataParallel(plain_mlp(32, 64, 8)), torch.randn(16, 32)


def _compiled() -> Built:
    return torch.compile(plain_mlp(32, 64, 8), backend="eager"), torch.randn(16, 32)


def _averaged() -> Built:
    model = torch.optim.swa_utils.AveragedModel(plain_mlp(32, 64, 8))
    model.update_parameters(plain_mlp(32, 64, 8))
    return model, torch.randn(16, 32)


def _quantized() -> Built:
    model = plain_mlp(64, 256, 10).eval()
    return _without_warnings(torch.ao.quantization.quantize_dynamic, model, {nn.Linear}), torch.randn(16, 64)


def _fx() -> Built:
    return torch.fx.symbolic_trace(plain_mlp(32, 64, 8)), torch.randn(16, 32)


ENTRIES: tuple[Entry, ...] = (
    entry("weight-norm-old", _weight_norm_old, "wrapped"),
    entry("weight-norm", _weight_norm, "wrapped"),
    entry("spectral-norm-old", _spectral_norm_old, "wrapped"),
    entry("spectral-norm", _spectral_norm, "wrapped"),
    entry("spectral-norm-training", _spectral_norm, "wrapped", "stateful", training=True),
    entry("parametrized", _parametrized, "wrapped"),
    entry("pruned-by-mask", _masked, "wrapped"),
    entry("script", _script, "wrapped", "script"),
    entry("trace", _trace, "wrapped", "script"),
    entry("partly-scripted", _partly_scripted, "wrapped"),
    entry("user-hooks", _hooks, "wrapped"),
    entry("data-parallel", _data_parallel, "wrapped"),
    entry("compiled-before", _compiled, "wrapped"),
    entry("averaged", _averaged, "wrapped"),
    entry("quantized-before", _quantized, "wrapped"),
    entry("fx-graph", _fx, "wrapped"),
)
