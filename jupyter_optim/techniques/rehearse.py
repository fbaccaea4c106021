"""Predict a gain by a quick measurement: of representative layers, or of the whole changed draft.

A prediction costs a few calls. It is measured on the real shapes, and the rest of the model counts as it is
(Amdahl): speed-up = 1 / (1 - sum of the shares saved).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from jupyter_optim.profiling.latency import no_gc, synchronizer
from jupyter_optim.techniques.subject import Layer, Subject, sample_inputs

_BLOCK_S = 0.004
_LONG_BLOCK_S = 0.05
_ROUNDS = 3
_SLOW_S = 0.05
"""A call this long evicts its own weights: a first call costs no more than the next."""

_VERY_SLOW_S = 0.1
"""A call this long is compared once."""

_DRAFT_ROUNDS, _MOST_DRAFT_ROUNDS = ((_VERY_SLOW_S, 1), (_SLOW_S, 2), (0.02, 3)), 5
"""Seconds of a call above which a whole draft is compared this often, and how often where calls are shorter."""

_SLOWEST = 4.0
"""A rehearsed draft that takes this many times the live model's time is not timed any further."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a rehearsal says."""

    speedup: float | None
    covers_share: float
    method: str


def rehearse_layers(
    subject: Subject, layers: Iterable[Layer], changed: Callable[[nn.Module, Layer], nn.Module | None],
    scale_rest: float = 0.0,
) -> Prediction:  # fmt: skip
    """Time one layer of each kind against its changed form, on random inputs of the real shapes.

    Args:
        subject: the model.
        layers: those that the technique changes.
        changed: makes the changed form of a layer; None if it cannot.
        scale_rest: fraction of the time outside of `layers` that is saved too.
    """
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.kind, []).append(layer)
    covered = saved = 0.0
    for members in sorted(groups.values(), key=lambda each: -sum(layer.share for layer in each)):
        subject.progress.check()
        share = sum(layer.share for layer in members)
        covered += share
        if share < 0.01:
            continue  # cannot move the prediction by more than that
        with subject.workload.undisturbed(members[0].module):
            ratio = layer_ratio(members[0], changed)
        if ratio is not None:
            saved += share * (1 - 1 / ratio)
    saved += max(0.0, 1 - covered) * scale_rest
    if not groups:
        return Prediction(None, 0.0, "no layer to change")
    method = f"measured on {len(groups)} kinds of layer at the real shapes; the rest counted as it is"
    return Prediction(1 / max(0.02, 1 - saved), min(1.0, covered), method)


def layer_ratio(
    layer: Layer, changed: Callable[[nn.Module, Layer], Callable[..., object] | None]
) -> float | None:
    """Time of the layer over that of its changed form: the median over rounds, in turn; None if one takes no such inputs.

    The caller keeps the layer undisturbed.
    """
    inputs = sample_inputs(layer)
    if inputs is None:
        return None
    other = changed(layer.module, layer)
    if other is None:
        return None
    with torch.no_grad(), no_gc():
        try:
            return ratio_of(lambda: layer.module(*inputs), lambda: other(*inputs), inputs[0].device)
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError):
            return None  # one of them takes no such shape, type or values


def ratio_of(before: Callable[[], object], after: Callable[[], object], device: torch.device) -> float:
    """Time of `before` over that of `after`: the median over rounds, in turn."""
    times = times_of([before, after], device)
    ratio: float = statistics.median(a / b for a, b in zip(*times, strict=True))
    return ratio


def times_of(
    calls: Sequence[Callable[[], object]], device: torch.device, fewest: int = 1
) -> list[list[float]]:
    """Seconds that each of `calls` takes, round by round, in turn.

    Args:
        calls: what is timed.
        device: where they compute.
        fewest: calls in a block, at least, unless they are long; one before the block, which finds its weights
            evicted, is not timed.

    Returns:
        For each call, a time for each round: three, or one where a call takes very long.
    """
    synchronize = synchronizer(device)

    def block(call: Callable[[], object], number: int) -> float:
        synchronize()
        began = time.perf_counter()
        for _ in range(number):
            call()
        synchronize()
        return (time.perf_counter() - began) / number

    for call in calls:
        block(call, 1)
    usual = [max(1e-7, block(call, 1)) for call in calls]
    if max(usual) > _VERY_SLOW_S:
        return [[each] for each in usual]
    numbers = [max(1, int(_BLOCK_S / each), min(fewest, int(_LONG_BLOCK_S / each))) for each in usual]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(_ROUNDS):
        for call, number, found in zip(calls, numbers, times, strict=True):
            if max(usual) < _SLOW_S:
                call()  # brings its weights back into the caches
            found.append(block(call, number))
    return times


def rehearse_draft(subject: Subject, draft: nn.Module) -> Prediction:
    """Time a few calls of a whole changed draft against the live model, in turn.

    Raises:
        Exception: whatever the draft's forward raises; the caller makes a sentence of it.
    """
    workload = subject.workload
    synchronize = synchronizer(workload.device)

    def once(model: nn.Module, calls: int) -> float:
        subject.progress.check()
        with workload.mode.applied(model):
            inputs = [workload.fresh_inputs() for _ in range(calls)]
            synchronize()
            began = time.perf_counter()
            for args, kwargs in inputs:
                workload.call(model, args, kwargs)
            synchronize()
            return (time.perf_counter() - began) / calls

    live = subject.model
    with workload.undisturbed(live), workload.undisturbed(draft), no_gc():
        first = once(draft, 1)
        usual = (subject.report.latency.median_ms or 0.0) / 1e3
        if first > max(_SLOWEST * usual, _SLOW_S):
            first = min(first, once(draft, 1))  # the one before may have packed its weights
            if first > _SLOWEST * usual:
                return Prediction(usual / first, 1.0, "two calls of the changed model")
        calls = max(1, min(50, int(0.02 / max(first, 1e-6))))
        slow = usual > _SLOW_S
        ratios = []
        for _ in range(_draft_rounds(usual)):
            if not slow:
                once(live, 1)  # brings its weights back into the caches
            before = once(live, calls)
            if not slow:
                once(draft, 1)
            ratios.append(before / once(draft, calls))
    ratios.sort()
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    return Prediction(middle, 1.0, f"{len(ratios) * calls} calls of the changed model beside the live one")


def _draft_rounds(usual_s: float) -> int:
    """How often a draft is compared with a live model whose calls take so long."""
    return next((rounds for above_s, rounds in _DRAFT_ROUNDS if usual_s > above_s), _MOST_DRAFT_ROUNDS)


def layer_times(layer: Layer, candidates: list[nn.Module]) -> list[float] | None:
    """Seconds a call of each candidate on inputs like the layer's, the best of the rounds of `times_of`."""
    inputs = sample_inputs(layer)
    if inputs is None:
        return None
    with torch.no_grad(), no_gc():
        times = times_of(
            [lambda each=each: each(*inputs) for each in candidates],  # type: ignore[misc]
            inputs[0].device, fewest=5,
        )  # fmt: skip
    return [min(each) for each in times]
