"""Techniques that fail, each in its own way and in the middle of its work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from jupyter_optim.progress import Progress
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique, Weights

ERRORS: dict[str, type[BaseException]] = {
    "RuntimeError": RuntimeError,
    "MemoryError": MemoryError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def linears(model: nn.Module) -> list[nn.Linear]:
    """All `nn.Linear` of `model`, in order."""
    return [module for module in model.modules() if type(module) is nn.Linear]


class Wrapped(nn.Module):
    """A new root around a draft, whose answer `spoil` changes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.spoil(self.inner(*args, **kwargs))

    def spoil(self, output: Tensor) -> Any:
        return output


class OtherShape(Wrapped):
    def spoil(self, output: Tensor) -> Any:
        return output[:, :-1]


class OtherDtype(Wrapped):
    def spoil(self, output: Tensor) -> Any:
        return output.double()


class OtherStructure(Wrapped):
    def spoil(self, output: Tensor) -> Any:
        return (output,)


class NotANumber(Wrapped):
    def spoil(self, output: Tensor) -> Any:
        return output * float("nan")


class Noise(Wrapped):
    def spoil(self, output: Tensor) -> Any:
        return output.flip(-1) * -1.0


@dataclass
class Fuse:
    """Burns down by one at each call; what holds it raises when it has burnt down."""

    left: int
    error: type[BaseException] = RuntimeError

    def burn(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error("the fuse burnt down")


class Explodes(Wrapped):
    """Raises when its fuse has burnt down."""

    def __init__(self, inner: nn.Module, fuse: Fuse) -> None:
        super().__init__(inner)
        self.fuse = fuse

    def spoil(self, output: Tensor) -> Any:
        self.fuse.burn()
        return output


class Unassignable(nn.Linear):
    """Has slots, so that no `nn.Linear` object can become one: the graft itself must fail."""

    __slots__ = ("extra",)


WRAPPERS: dict[str, type[Wrapped]] = {
    "shape": OtherShape,
    "dtype": OtherDtype,
    "structure": OtherStructure,
    "nan": NotANumber,
    "noise": Noise,
}


class _Rogue(Technique):
    family: ClassVar[str] = "rogue"
    risk: ClassVar[str] = "All."

    def judge(self, subject: Subject) -> Assessment:
        if not linears(subject.model):
            return Assessment(applies=False, reason="There is no Linear layer to spoil.")
        return Assessment(applies=True, reason="There are Linear layers to spoil.", covers_share=1.0)

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return "model = model"


class RaisesHalfway(_Rogue):
    """Has replaced some layers, frozen some weights and set a flag when it raises."""

    name: ClassVar[str] = "rogue-halfway"
    label: ClassVar[str] = "Raise halfway"
    options: ClassVar[tuple[Option, ...]] = (
        Option("error", "Error", "RuntimeError", choices=tuple(ERRORS)),
        Option("depth", "Layers changed before", 1, low=0, high=8),
    )

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        for index, layer in enumerate(linears(draft)):
            if index == options["depth"]:
                raise ERRORS[options["error"]]("stopped halfway")
            layer.weight = nn.Parameter(torch.zeros_like(layer.weight), requires_grad=False)
            layer.__dict__["touched"] = True
            layer.register_forward_hook(lambda *_: None)
            layer.train(not layer.training)
        raise ERRORS[options["error"]]("stopped at the end")


class WritesLiveWeights(_Rogue):
    """Writes the weights in place, which it shares with the live model: `weights` should be ``cloned``."""

    name: ClassVar[str] = "rogue-writes"
    label: ClassVar[str] = "Write in place"
    options: ClassVar[tuple[Option, ...]] = (Option("raises", "Raise afterwards", default=False),)

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        with torch.no_grad():
            for layer in linears(draft):
                layer.weight.mul_(0.5)
        if options["raises"]:
            raise RuntimeError("stopped after the writes")
        return Change(draft)


class WritesClonedWeights(_Rogue):
    """Writes weights of its own in place, as it may: half precision and back."""

    name: ClassVar[str] = "rogue-clones"
    label: ClassVar[str] = "Write clones"
    weights: ClassVar[Weights] = "cloned"

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        with torch.no_grad():
            for layer in linears(draft):
                layer.weight.copy_(layer.weight.bfloat16().float())
        return Change(draft)


class ChangesAnswers(_Rogue):
    """Gives answers of another shape, dtype or structure, or that mean nothing."""

    name: ClassVar[str] = "rogue-answers"
    label: ClassVar[str] = "Change answers"
    options: ClassVar[tuple[Option, ...]] = (Option("what", "What", "shape", choices=tuple(WRAPPERS)),)

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        return Change(WRAPPERS[options["what"]](draft))


class WrapsAndSpoils(_Rogue):
    """Puts a new root around the draft, and makes its last layer answer zeros."""

    name: ClassVar[str] = "rogue-wraps"
    label: ClassVar[str] = "Wrap and spoil"

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        last = linears(draft)[-1]
        last.weight = nn.Parameter(torch.zeros_like(last.weight))
        last.bias = nn.Parameter(torch.zeros_like(last.bias))
        return Change(Wrapped(draft))


class GivesUp(_Rogue):
    """Its result raises after a number of calls: in the first one, in timing, or in judging."""

    name: ClassVar[str] = "rogue-gives-up"
    label: ClassVar[str] = "Give up"
    options: ClassVar[tuple[Option, ...]] = (
        Option("error", "Error", "RuntimeError", choices=tuple(ERRORS)),
        Option("after", "Calls that succeed", 0, low=0, high=1e6),
    )

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        return Change(Explodes(draft, Fuse(int(options["after"]), ERRORS[options["error"]])))


class RefusesGraft(_Rogue):
    """Its last layer is of a class that the live layer cannot take on."""

    name: ClassVar[str] = "rogue-graft"
    label: ClassVar[str] = "Refuse the graft"

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        last = linears(draft)[-1]
        other = Unassignable(last.in_features, last.out_features)
        other.weight, other.bias = last.weight, last.bias
        for module in draft.modules():
            for name, child in module.named_children():
                if child is last:
                    setattr(module, name, other)
        return Change(draft)


class LeavesFlags(_Rogue):
    """Sets what is global, and raises before it could say so."""

    name: ClassVar[str] = "rogue-flags"
    label: ClassVar[str] = "Leave flags"

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        torch.manual_seed(1)
        torch.set_grad_enabled(False)
        raise RuntimeError("stopped after the flags")


ROGUES = (
    RaisesHalfway, WrapsAndSpoils, WritesLiveWeights, WritesClonedWeights, ChangesAnswers, GivesUp, RefusesGraft, LeavesFlags,
)  # fmt: skip


def install(folder: Path) -> Path:
    """Put a distribution into `folder` that registers these techniques, as another package would."""
    info = folder / "rogue_techniques-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1{os.linesep}Name: rogue-techniques{os.linesep}Version: 1.0"
    )
    lines = [f"{kind.name} = {kind.__module__}:{kind.__name__}" for kind in ROGUES]
    (info / "entry_points.txt").write_text("\n".join(["[jupyter_optim.techniques]", *lines]))
    return folder
