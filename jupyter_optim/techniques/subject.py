"""What a technique may look at: the model, how it is called, and where its time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import nn

from jupyter_optim.profiling.trace.annotate import TensorShape
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop
from jupyter_optim.report import Quality, Report
from jupyter_optim.techniques.calibration import Calibration
from jupyter_optim.techniques.draft import undraftable
from jupyter_optim.workload import Workload

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Layer:
    """One module that the workload calls."""

    path: str
    module: nn.Module
    calls: float
    total_ms: float
    share: float
    """`total_ms` over the time of the call."""
    inputs: tuple[Any, ...]
    """Of its positional inputs: a `TensorShape`, or text for what is no tensor."""

    @property
    def kind(self) -> str:
        """Equal for layers that cost the same: class, settings, and input shapes."""
        own = "|".join(f"{n}{tuple(p.shape)}{p.dtype}" for n, p in self.module.named_parameters())
        return f"{type(self.module).__name__}({self.module.extra_repr()}) {own} {self.inputs!r}"


@dataclass
class Subject:
    """A model as a technique sees it. Techniques read it, and change only the draft they are given."""

    model: nn.Module
    workload: Workload
    report: Report
    inputs: dict[str, tuple[Any, ...]]
    """By module path: shapes of the positional inputs."""
    max_drop: MaxDrop
    judged_by_user: bool
    """Whether the user gave an `evaluate`."""
    calibration: Calibration | None = None
    """Inputs that the user gave for fixed scales; None: those of the workload serve."""
    score: Callable[[nn.Module], Quality] | None = None
    """Judges a draft by the user's `evaluate`, which may take long: not for predictions. None if there is none."""
    progress: Progress = field(default_factory=Progress)
    memo: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)
    """What techniques that are judged one after another need not make twice."""

    @cached_property
    def obstacle(self) -> str | None:
        """Why this model cannot be changed in place by any technique, or None."""
        reason = undraftable(self.model)
        if reason is not None:
            return reason
        if self.workload.obstacle is not None:
            return f"a change could not be verified: {self.workload.obstacle}"
        if self.workload.writes_parameters:
            return "its forward writes to its own parameters, so a draft cannot share them"
        return None

    def once(self, key: tuple[str, ...], make: Callable[[], _T]) -> _T:
        """What `make` returns, made at the first call with this key."""
        if key not in self.memo:
            self.memo[key] = make()
        made: _T = self.memo[key]
        return made

    @property
    def training(self) -> bool:
        """Whether the model was called in train mode."""
        return self.report.workload.training

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        return dict(self.model.named_modules())

    @cached_property
    def call_ms(self) -> float:
        """Wall time of the traced call."""
        return self.report.trace.call_ms or self.report.latency.median_ms or 0.0

    def layers(self, kinds: Iterable[type[nn.Module]], *, exact: bool = True) -> list[Layer]:
        """The called modules of these classes, in the order of `named_modules`."""
        wanted = tuple(kinds)
        rows = {row.path: row for row in self.report.modules}
        found = []
        for path, module in self.modules.items():
            row = rows.get(path)
            matches = type(module) in wanted if exact else isinstance(module, wanted)
            if row is not None and matches:
                share = row.total_ms / self.call_ms if self.call_ms else 0.0
                found.append(Layer(path, module, row.calls, row.total_ms, share, self.inputs.get(path, ())))
        return found

    def ops_share(self, names: Iterable[str]) -> float:
        """Fraction of the call's time that ops of these names take by themselves."""
        wanted = frozenset(names)
        return sum(op.share for op in self.report.ops if op.name in wanted)


def sample_inputs(layer: Layer) -> tuple[torch.Tensor, ...] | None:
    """Random inputs like those that the layer gets, or None where they are no plain tensors."""
    if not layer.inputs or not all(isinstance(shape, TensorShape) for shape in layer.inputs):
        return None
    return tuple(shape.random() for shape in layer.inputs)
