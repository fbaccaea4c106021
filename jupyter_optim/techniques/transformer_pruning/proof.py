"""Whether units can be taken out as guessed: the cut model must answer as one that multiplies them by zero."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.quality import mismatch
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.transformer_pruning.cut import cut_, mask_
from jupyter_optim.techniques.transformer_pruning.parts import Part, guesses

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_TOLERANCE_16_BIT = 0.1
_TRIED = 3
"""Blocks of a sort that are tried until one has a part in the answers: of experts, not all are called."""


@dataclass(slots=True)
class Found:
    """Parts that were proven, and why others were not."""

    parts: list[Part] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """By kind of part."""


def proven_parts(subject: Subject) -> Found:
    """The parts of the model that can be cut; one block of each sort is tried, on a draft."""
    found = Found()
    places = guesses(subject.model)
    known: dict[tuple[str, str], int | str] = {}
    reference = answers(subject, subject.model)
    for place in places:
        key = (place[0].kind, place[0].sort)
        if key not in known:
            same = [each for each in places if (each[0].kind, each[0].sort) == key]
            known[key] = _which(subject, same[:_TRIED], reference)
        verdict = known[key]
        if isinstance(verdict, int):
            found.parts.append(place[verdict])
        else:
            found.refused.setdefault(
                place[0].kind, f"of `{place[0].path or type(subject.model).__name__}` {verdict}"
            )
    return found


def _which(subject: Subject, places: list[tuple[Part, ...]], reference: Any) -> int | str:
    """Number of the way in which the units lie, or why none fits."""
    reason = "have no part in the answers"
    for place in places:
        for number, part in enumerate(place):
            subject.progress.check()
            verdict = _fault(subject, part, reference)
            if verdict is None:
                return number
            reason = verdict or reason
    return reason


def _fault(subject: Subject, part: Part, reference: Any) -> str | None:
    """Why `part` cannot be cut, "" where nothing depends on it, None if it can."""
    kept = torch.arange(part.units)[1::2] if part.units > 2 else torch.arange(part.units)[1:]
    masked = Draft(subject.model).root
    mask_(masked, part, kept)
    expected = answers(subject, masked)
    if same_answers(expected, reference, exactly=True):
        return ""
    cut = Draft(subject.model).root
    cut_(cut, part, kept)
    try:
        got = answers(subject, cut)
    except Exception:  # noqa: BLE001 (the model's own code tells in its own way that it counts on the width)
        return "cannot be taken out: its code counts on their number"
    changed = mismatch(expected, got)
    if changed is not None:
        return f"cannot be taken out: what the model returns would change ({changed})"
    if _held_shapes(expected) != _held_shapes(got):
        return "stay: the key-value cache that the model returns would change (call it with use_cache=False)"
    if not same_answers(expected, got):
        return "cannot be taken out: the others would answer differently without them"
    return None


def _held_shapes(outputs: Any) -> list[torch.Size]:
    """Of the tensors inside the objects that a model returns, such as a cache."""
    leaves = (leaf for _, leaf in tree.leaves(outputs) if not isinstance(leaf, torch.Tensor))
    return [tensor.shape for leaf in leaves for tensor in tree.held_tensors(leaf)]


def answers(subject: Subject, model: nn.Module) -> Any:
    """What `model` answers without dropout, whose random numbers would hide a fault."""
    workload = subject.workload
    return replace(workload, mode=replace(workload.mode, training=(False,))).outputs(model)


def same_answers(expected: Any, got: Any, *, exactly: bool = False) -> bool:
    """Whether two outputs of one structure have the same numbers, within rounding."""
    pairs = zip(tree.tensors(expected), tree.tensors(got), strict=True)
    return all(_same(a, b, exactly=exactly) for a, b in pairs)


def _same(a: torch.Tensor, b: torch.Tensor, *, exactly: bool) -> bool:
    if exactly or not a.is_floating_point() or a.is_nested:
        return a.is_nested or torch.equal(a.nan_to_num(), b.nan_to_num())
    allowed = _TOLERANCE.get(a.dtype, _TOLERANCE_16_BIT)
    a, b = a.double().nan_to_num(), b.double().nan_to_num()
    return bool((a - b).abs().max() <= allowed * a.abs().max().clamp_min(1e-12)) if a.numel() else True
