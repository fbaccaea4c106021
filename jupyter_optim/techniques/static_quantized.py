"""Layers of a model on static int8 kernels, their scales found by calling the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim.errors import InvalidInputs
from jupyter_optim.progress import Progress
from jupyter_optim.quality import fidelity
from jupyter_optim.report import Quality
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.replace import replace_modules_
from jupyter_optim.techniques.static_layers import Grid, StaticInt8, ValueRange
from jupyter_optim.techniques.subject import Layer, Subject


@dataclass(slots=True)
class _Seen:
    """What a layer got and gave while it was watched."""

    given: ValueRange = field(default_factory=ValueRange)
    made: ValueRange = field(default_factory=ValueRange)


@dataclass(slots=True)
class Quantized:
    """Layers of a model in int8."""

    subject: Subject
    layers: list[Layer]
    made: dict[str, nn.Module]
    grids: dict[str, tuple[Grid, Grid]]
    reference: Any
    """What the model answers as it is."""
    calibrated: int = 0
    """Calibration inputs that gave the scales; 0: those of the workload did."""

    @classmethod
    def of(
        cls, subject: Subject, layers: list[Layer], progress: Progress, *, within_s: float | None = None
    ) -> Quantized:
        """With the scales that the calibration inputs ask for, or else those of the run.

        Args:
            subject: the model.
            layers: which of its layers.
            progress: told how far it is; *Cancel* takes effect between calls and layers.
            within_s: no further calibration input is taken after so many seconds.

        Raises:
            InvalidInputs: the model does not take a calibration input.
            Cancelled: the user asked for that.
        """
        progress.report("Looking at the layers' values", None)
        seen = {layer.path: _Seen() for layer in layers}
        with _watched({layer.module: seen[layer.path] for layer in layers}):
            reference = subject.workload.outputs(subject.model)
        calibrated, found = _calibrated(subject, layers, progress, within_s)
        # a layer that no calibration input reaches has its values of the run
        seen.update({path: each for path, each in found.items() if not each.given.empty})
        grids, made = {}, dict[str, nn.Module]()
        for number, layer in enumerate(layers):
            progress.report(f"Quantizing {layer.path or 'the model'}", number / len(layers))
            grids[layer.path] = seen[layer.path].given.grid(), seen[layer.path].made.grid()
            made[layer.path] = StaticInt8(layer.module, *grids[layer.path])  # type: ignore[arg-type]
        quantized = cls(subject, layers, made, grids, reference, calibrated)
        try:
            subject.workload.outputs(quantized.draft())
        except RuntimeError:
            # a `view` of what comes out channels last, say; if it was something else, the next call tells
            for each in made.values():
                each.contiguous = True  # type: ignore[assignment]
        return quantized

    def draft(self) -> nn.Module:
        return replace_modules_(Draft(self.subject.model).root, self.made)

    def quality(self) -> Quality:
        """How like the answers are to the model's."""
        return fidelity(self.reference, self.subject.workload.outputs(self.draft()), self.subject.max_drop)

    def without(self, paths: Sequence[str]) -> Quantized:
        """The same, but for some layers."""
        left = [layer for layer in self.layers if layer.path not in paths]
        made = {layer.path: self.made[layer.path] for layer in left}
        return Quantized(self.subject, left, made, self.grids, self.reference, self.calibrated)

    def facts(self) -> dict[str, Any]:
        contiguous = any(getattr(each, "contiguous", False) for each in self.made.values())
        grids = {path: [grid.facts() for grid in self.grids[path]] for path in self.made}
        return {"layers": grids, "contiguous": contiguous}


def _calibrated(
    subject: Subject, layers: list[Layer], progress: Progress, within_s: float | None
) -> tuple[int, dict[str, _Seen]]:
    """How many calibration inputs the model was called with, and what its layers got and gave meanwhile."""
    if subject.calibration is None:
        return 0, {}
    seen = {layer.path: _Seen() for layer in layers}
    workloads = subject.calibration.workloads(subject.workload, progress)
    began, called = time.perf_counter(), 0
    with _watched({layer.module: seen[layer.path] for layer in layers}):
        for workload in workloads:
            if within_s is not None and called and time.perf_counter() - began > within_s:
                break
            progress.report(f"Calibrating on input {called + 1} of {len(workloads)}", called / len(workloads))
            try:
                workload.outputs(subject.model)
            except Exception as error:
                raise InvalidInputs(
                    f"calibration input {called + 1}: the model raised {type(error).__name__}: {error}"
                ) from error
            called += 1
    return called, seen


@contextmanager
def _watched(seen: Mapping[nn.Module, _Seen]) -> Iterator[None]:
    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        each = seen.get(module)
        if each is not None and args and isinstance(args[0], torch.Tensor):
            each.given.add(args[0].detach())
            each.made.add(output.detach())

    handle = hooks.register_module_forward_hook(note)
    try:
        yield
    finally:
        handle.remove()


def mixed_of(
    subject: Subject, found: Quantized, progress: Progress, *, by_score: bool = False
) -> tuple[Quantized, int]:
    """As many layers in int8 as the quality bears, and how many are not.

    Args:
        subject: the model.
        found: its layers in int8.
        progress: told how far it is; *Cancel* takes effect between drafts.
        by_score: judge drafts by the user's `evaluate` where there is one, and not by their answers.

    Raises:
        EvaluateFailed: it raised, or returned no number.
        Cancelled: the user asked for that.
    """

    def quality(number: int) -> Quality:
        left = found.without(order[:number])
        return left.quality() if subject.score is None or not by_score else subject.score(left.draft())

    progress.report("Looking for the layers that int8 harms", None)
    order = _by_harm(subject, found)
    restored = _fewest(quality, len(order), progress)
    return found.without(order[:restored]), restored


def _by_harm(subject: Subject, found: Quantized) -> list[str]:
    """Paths of the layers, those first whose int8 form errs most for the time that it saves; one call of the model."""
    noise: dict[str, float] = {}
    paths = {layer.module: layer.path for layer in found.layers}

    def note(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        path = paths.get(module)
        if path is None or not args:
            return
        with torch.no_grad():
            error = (found.made[path](args[0]) - output.detach()).square().sum()
            noise[path] = max(
                noise.get(path, 0.0), float(error / output.detach().square().sum().clamp_min(1e-30))
            )

    handle = hooks.register_module_forward_hook(note)
    try:
        subject.workload.outputs(subject.model)
    finally:
        handle.remove()
    spent = {layer.path: max(layer.total_ms, 1e-6) for layer in found.layers}
    return sorted(paths.values(), key=lambda path: -noise.get(path, 0.0) / spent[path])


def _fewest(quality: Callable[[int], Quality], most: int, progress: Progress) -> int:
    """The fewest layers to leave as they are so that the quality holds, by bisection; `most` if it never does."""
    low, high = 0, most
    while low < high:
        progress.report(f"Leaving {low} to {high} layers as they are", None)
        middle = (low + high) // 2
        found = quality(middle)
        if found.drop <= found.max_drop:
            high = middle
        else:
            low = middle + 1
    return high
