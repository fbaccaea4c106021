"""`prune-structured` for transformers: narrower feed-forward layers, fewer attention heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.progress import Progress
from jupyter_optim.quality import mismatch
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.input_moments import Moments, moments_of
from jupyter_optim.techniques.low_rank_factors import SHRINKAGE
from jupyter_optim.techniques.narrowed import narrow_, narrowed
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, counted
from jupyter_optim.techniques.transformer_pruning.cut import Setting, cut_, mask_, set_configs_
from jupyter_optim.techniques.transformer_pruning.importance import (
    by_activation,
    by_magnitude,
    by_taylor,
    refit_,
)
from jupyter_optim.techniques.transformer_pruning.parts import Part, guesses
from jupyter_optim.techniques.transformer_pruning.proof import Found, answers, proven_parts, same_answers
from jupyter_optim.techniques.transformer_pruning.source import source

_ATTENTION_OPS = frozenset({
    "aten::bmm", "aten::baddbmm", "aten::scaled_dot_product_attention", "aten::_native_multi_head_attention",
    "aten::_transformer_encoder_layer_fwd",
})  # fmt: skip
_LITTLE = 0.05
_KINDS = {"feed-forward": "feed-forward channels", "heads": "attention heads"}


def attends(subject: Subject) -> bool:
    """Whether the model computes attention."""
    return any(op.name in _ATTENTION_OPS for op in subject.report.ops) or any(
        isinstance(module, nn.MultiheadAttention) for module in subject.modules.values()
    )


def has_parts(subject: Subject) -> bool:
    """Whether the model has pairs of layers, or heads, that look as if they could be cut."""
    return bool(guesses(subject.model))


def assess(subject: Subject, options: Mapping[str, Any]) -> Assessment:
    """What cutting the fraction of `options` would bring: timed on a draft with any units of that number."""
    found = proven_parts(subject)
    if not found.parts:
        return Assessment(applies=False, reason=_nothing(found))
    left = _left(found.parts, options)
    if all(left[part] == part.units for part in found.parts):
        return Assessment(applies=False, reason=_too_narrow(options))
    draft = _narrowed(subject, left)
    prediction = rehearse_draft(subject, draft)
    return Assessment(
        applies=True,
        reason=_reason(found, left) + _warning(subject, found, options, prediction.speedup),
        covers_share=_share(subject, found.parts), predicted_speedup=prediction.speedup,
        predicted_size_ratio=_bytes(draft) / max(1, _bytes(subject.model)), method=prediction.method,
    )  # fmt: skip


def prune(draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress) -> Change:
    """Cut the draft, and prove that it answers as one whose units were multiplied by zero."""
    progress.report("Looking for heads and channels that can be taken out", None)
    found = proven_parts(subject)
    left = {part: number for part, number in _left(found.parts, options).items() if number < part.units}
    if not left:
        raise NotApplicable(_too_narrow(options) if found.parts else _nothing(found))
    parts = list(left)
    progress.report("Weighing heads and channels", None)
    moments = {}
    if options["importance"] in ("auto", "activation"):
        moments = moments_of(subject, [part.consumer for part in parts])
    scores = _scores(draft, parts, moments, subject, options["importance"], progress)
    kept = {part: _best(scores[part], left[part]) for part in parts}
    _prove(subject, kept, progress)
    before = sum(parameter.numel() for parameter in draft.parameters())
    settings: list[Setting] = []
    refit = options["refit"] and bool(moments)
    for number, part in enumerate(parts):
        progress.report(f"Cutting {len(parts)} parts", number / len(parts))
        if refit:
            refit_(draft, part, kept[part], moments[part.consumer], SHRINKAGE)
        settings += cut_(draft, part, kept[part])
    # a config has one number for all blocks: it is told only where all of them were cut alike
    alike = [part for part in found.parts if part.kind not in found.refused]
    configs = set_configs_(draft, alike, {part: left.get(part, part.units) for part in alike})
    after = sum(parameter.numel() for parameter in draft.parameters())
    facts = {
        "transformer": source(kept, settings, configs, refit=refit), "layers": narrowed(subject.model, draft),
        "settings": settings, "configs": configs,
    }  # fmt: skip
    note = (
        f"{1 - after / before:.0%} of the parameters taken out: {_counts(left)}{_untouched(found, options)}"
    )
    return Change(draft, note, facts)


def rebuild(draft: nn.Module, facts: Mapping[str, Any]) -> Change:
    """Cut the draft as it was cut before; what its weights hold means nothing.

    Raises:
        ValueError, TypeError: the facts are not those of a cut.
    """
    narrow_(draft, facts["layers"])
    for path, name, value in facts["settings"]:
        _set(draft.get_submodule(path), name, value)
    for path, name, value in facts["configs"]:
        _set(draft.get_submodule(path).config, name, value)
    return Change(draft)


def _set(target: Any, name: str, value: Any) -> None:
    if not isinstance(value, int) or not isinstance(getattr(target, name, ""), int | None):
        raise TypeError(f"{type(target).__name__} has no number {name!r} that could become {value!r}")
    setattr(target, name, value)


def _scores(
    root: nn.Module, parts: list[Part], moments: Mapping[str, Moments], subject: Subject, importance: str,
    progress: Progress,
) -> dict[Part, torch.Tensor]:  # fmt: skip
    if importance == "taylor":
        return by_taylor(root, parts, subject)
    scores = {}
    for part in parts:
        progress.check()
        if importance == "magnitude":
            scores[part] = by_magnitude(root, part)
        elif part.consumer in moments:
            scores[part] = by_activation(root, part, moments[part.consumer])
        else:
            raise NotApplicable(
                f"`{part.consumer}` gets no inputs in this call: choose importance='magnitude'."
            )
    return scores


def _prove(subject: Subject, kept: Mapping[Part, torch.Tensor], progress: Progress) -> None:
    """All cuts together answer as all masks together. Raises `NotApplicable` if not."""
    masked, cut = Draft(subject.model).root, Draft(subject.model).root
    for part, units in kept.items():
        progress.check()
        mask_(masked, part, units)
        cut_(cut, part, units)
    expected, got = answers(subject, masked), answers(subject, cut)
    changed = mismatch(expected, got)
    if changed is not None or not same_answers(expected, got):
        raise NotApplicable(
            "Taking these heads and channels out would change more than multiplying them by zero does"
            + (f": {changed}." if changed else ".")
        )


def _left(parts: list[Part], options: Mapping[str, Any]) -> dict[Part, int]:
    """How many units of each part stay."""
    left = {}
    for part in parts:
        if _KINDS.get(options["parts"], part.kind) != part.kind:
            left[part] = part.units
        elif part.kind == "attention heads":
            left[part] = max(1, round(part.units * (1 - options["ratio"])))
        else:
            step = int(options["round_to"])
            rounded = max(step, round(part.units * (1 - options["ratio"]) / step) * step)
            left[part] = min(part.units, rounded)
    return left


def _best(scores: torch.Tensor, number: int) -> torch.Tensor:
    """The units of the highest scores, in their order."""
    return scores.argsort(descending=True, stable=True)[:number].sort().values


def _narrowed(subject: Subject, left: Mapping[Part, int]) -> nn.Module:
    """A draft with the first units of each part: its times do not depend on which they are."""
    root = Draft(subject.model).root
    for part, number in left.items():
        if number < part.units:
            cut_(root, part, torch.arange(number))
    return root


def _warning(subject: Subject, found: Found, options: Mapping[str, Any], speedup: float | None) -> str:
    """That a small ratio, or this one, is slower, where a draft of it is."""
    if speedup is not None and speedup < 1:
        return f" Predicted to be slower here at {options['ratio']:.0%}: widths that the kernels like less."
    left = _left(found.parts, {**options, "ratio": _LITTLE})
    if all(left[part] == part.units for part in found.parts):
        return f" {_LITTLE:.0%} would be nothing, rounded."
    little = rehearse_draft(subject, _narrowed(subject, left)).speedup
    if little is None or little >= 1:
        return ""
    return f" Only {_LITTLE:.0%} would be slower ({little:.2f}x): widths that the kernels like less."


def _counts(left: Mapping[Part, int]) -> str:
    """``feed-forward width 1536 to 1072 in 6 blocks, attention heads 12 to 8 in 6``."""
    groups: dict[tuple[str, int, int], int] = {}
    for part, number in left.items():
        if number < part.units:
            key = part.kind, part.units * part.queries, number * part.queries
            groups[key] = groups.get(key, 0) + 1
    return ", ".join(f"{kind} {a:,} to {b:,} in {counted(n, 'block')}" for (kind, a, b), n in groups.items())


def _reason(found: Found, left: Mapping[Part, int]) -> str:
    return f"{_counts(left).capitalize()}: smaller matrices, the same shapes outside.{_refusals(found)}"


def _untouched(found: Found, options: Mapping[str, Any]) -> str:
    return _refusals(found) if options["parts"] == "all" else ""


def _refusals(found: Found) -> str:
    said = "".join(f" The {kind} {reason}." for kind, reason in found.refused.items())
    if "attention heads" not in said and not any(part.kind == "attention heads" for part in found.parts):
        said += (
            " Attention heads stay: no attribute tells their number, or nn.MultiheadAttention needs them all."
        )
    return said


def _nothing(found: Found) -> str:
    if found.refused:
        return "; ".join(f"the {kind} {reason}" for kind, reason in found.refused.items())
    return "none of its feed-forward layers or attention heads could be found in its structure"


def _too_narrow(options: Mapping[str, Any]) -> str:
    return (
        f"its blocks are too narrow to lose {options['ratio']:.0%} of their channels in steps of {options['round_to']}, "
        "or of their heads"
    )


def _share(subject: Subject, parts: list[Part]) -> float | None:
    """Of the call's time in the layers that are cut; None where they are not called one by one."""
    paths = {path for part in parts for path in (*(each.path for each in part.producers), part.consumer)}
    layers = [layer for layer in subject.layers([nn.Module], exact=False) if layer.path in paths]
    return min(1.0, sum(layer.share for layer in layers)) if layers else None


def _bytes(root: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in root.parameters())
