"""`sdpa`: attention that is spelt out, by PyTorch's fused scaled_dot_product_attention."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.progress import Progress
from jupyter_optim.quality import MaxDrop, fidelity, mismatch
from jupyter_optim.techniques.attention_pattern import NoAttention, fuse_attentions_
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.exact import check_exact
from jupyter_optim.techniques.forward_graph import (
    ForwardCall,
    Untraceable,
    forward_graph,
    note_values,
    source_of,
)
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Technique, counted

_SOFTMAX = ("aten::softmax", "aten::_softmax")
_OF_TORCH = "torch.nn."
_LAYER_ROUNDING = 0.02
"""Relative to the largest value; in 16 bits the two round at different places."""


class Sdpa(Technique):
    """Scores, softmax and product with the values in one kernel, which never keeps the scores."""

    name = "sdpa"
    family = "layout"
    label = "Fuse attention"
    risk = "None beyond rounding for calls like those that were seen; other calls take the former way."

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle
        if reason is None and subject.training:
            reason = "it was called in train mode, where dropout is part of an attention: call `model.eval()` first"
        holders = [] if reason else self.holders(subject)
        eager = [] if reason else _eager(subject.model)
        if reason is None and not holders and not eager:
            reason = "no module of its own computes a softmax"
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        draft = Draft(subject.model)
        try:
            change = self.transform(draft.root, subject, {}, subject.progress)
        except NotApplicable as refusal:
            return Assessment(applies=False, reason=str(refusal))
        prediction = rehearse_draft(subject, change.model)
        return Assessment(
            applies=True, reason=f"{change.note}: the scores of all pairs are neither written to memory nor read again.",
            covers_share=_share(subject, [*change.facts["forwards"], *change.facts["eager"]]),
            predicted_speedup=prediction.speedup, predicted_size_ratio=1.0, method=prediction.method,
        )  # fmt: skip

    def holders(self, subject: Subject) -> list[str]:
        """Paths of the modules whose own forward computes a softmax; that of an nn.Softmax belongs to its parent."""
        found: dict[str, None] = {}
        for op in subject.report.ops:
            path = op.module
            if op.name not in _SOFTMAX or path is None or path not in subject.modules:
                continue
            while path and type(subject.modules[path]).__module__.startswith(_OF_TORCH):
                path = path.rpartition(".")[0]
            if not type(subject.modules[path]).__module__.startswith(_OF_TORCH):
                found[path] = None
        return list(found)

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        eager = _eager(draft)
        for path in eager:
            draft.get_submodule(path).set_attn_implementation("sdpa")  # type: ignore[operator]
        forwards: dict[str, str] = {}
        reasons: dict[str, str] = {}
        if not eager:
            holders = self.holders(subject)
            calls = _calls(draft, holders, subject)
            for number, path in enumerate(holders):
                progress.report("Looking for attention in forward methods", number / len(holders))
                # each module's own training flag as it was in the call, and nothing left behind
                with subject.workload.undisturbed(draft), subject.workload.mode.applied(draft):
                    try:
                        forwards[path] = _fused_source(draft.get_submodule(path), calls[path])
                    except (Untraceable, NoAttention) as reason:
                        reasons[path] = str(reason)
        if not forwards and not eager:
            path, why = next(iter(reasons.items()), ("", "no module computes a softmax"))
            raise NotApplicable(f"no attention was found in `{path or type(draft).__name__}`: {why}")
        for path, text in forwards.items():
            set_forward_(draft.get_submodule(path), text)
        progress.report("Comparing answers", None)
        check_exact(draft, subject)
        note = f"Attention of {counted(len(forwards) or len(eager), 'module')} in one kernel"
        if eager:
            note = "Hugging Face's own fused attention"
        return Change(draft, note, {"forwards": forwards, "eager": eager})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        if facts["eager"]:
            return "".join(
                f"model.get_submodule({each!r}).set_attn_implementation('sdpa')\n" for each in facts["eager"]
            )
        by_text: dict[str, list[str]] = {}
        for path, text in facts["forwards"].items():
            by_text.setdefault(text, []).append(path)
        parts = ["import functools\nimport types\n"]
        for text, paths in by_text.items():
            parts.append(
                f"{text}\nfor path in {paths!r}:\n"
                "    module = model.get_submodule(path)\n"
                "    module.forward = types.MethodType(functools.wraps(type(module).forward)(forward), module)\n"
            )
        return "\n".join(parts)


def set_forward_(module: nn.Module, text: str) -> None:
    """Give `module` the function ``forward`` of the source `text` as its own; its class stays what it is."""
    scope: dict[str, Any] = {}
    exec(text, scope)  # noqa: S102 (source that was written here, of the module's own graph)
    # what asks for its signature is told the former one
    forward = functools.wraps(type(module).forward)(scope["forward"])
    module.__dict__["forward"] = types.MethodType(forward, module)


def _eager(model: nn.Module) -> list[str]:
    """Paths of Hugging Face models within (or of the model) that spell attention out, and need not."""
    found: list[str] = []
    for path, module in model.named_modules():
        config = getattr(module, "config", None)
        fits = getattr(module, "_supports_sdpa", False) and hasattr(module, "set_attn_implementation")
        inside = any(not outer or path.startswith(f"{outer}.") for outer in found)
        if fits and not inside and getattr(config, "_attn_implementation", None) == "eager":
            found.append(path)
    return found


def _calls(draft: nn.Module, paths: list[str], subject: Subject) -> dict[str, list[tuple[ForwardCall, Any]]]:
    """How each of these modules is called in one call of the draft, and what it answers."""
    seen: dict[str, list[tuple[ForwardCall, Any]]] = {path: [] for path in paths}
    handles = []
    for path in paths:

        def note(
            _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, path: str = path
        ) -> None:
            seen[path].append((ForwardCall.of(_module, args, kwargs), output))

        handles.append(draft.get_submodule(path).register_forward_hook(note, with_kwargs=True))
    workload = subject.workload
    try:
        with workload.undisturbed(draft), workload.mode.applied(draft):
            args, kwargs = workload.fresh_inputs()
            workload.call(draft, args, kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _fused_source(module: nn.Module, calls: list[tuple[ForwardCall, Any]]) -> str:
    """Source of a forward with its attention in one call. Raises `Untraceable` or `NoAttention` with the reason."""
    if "forward" in module.__dict__:
        raise Untraceable("its forward was replaced already")
    if not calls:
        raise Untraceable("it is not called as a module")
    call, answer = calls[0]
    if call.obstacle is not None:
        raise Untraceable(call.obstacle)
    if not isinstance(answer, torch.Tensor | tuple):
        raise Untraceable(f"it returns a {type(answer).__name__}")
    graph = forward_graph(module, call)
    expected = _seeded(type(module).forward, module, *call.args, **call.kwargs)
    _check_same(expected, _seeded(note_values, module, graph, call), "followed by torch.fx")
    _, dropouts = fuse_attentions_(module, graph)
    fused = source_of(graph, "fused")
    scope: dict[str, Any] = {}
    exec(fused, scope)  # noqa: S102 (source that was written here, of the module's own graph)
    _check_same(expected, _seeded(scope["fused"], module, *call.tensors.values()), "fused")
    asleep = "".join(f"\n        and not self.get_submodule({name!r}).training" for name in dropouts)
    return f"""\
{fused}
def forward(self, *args, **kwargs):
    if (
        not self.training
        and {call.condition()}{asleep}
    ):
        return fused(self, {call.passed_on()})
    return type(self).forward(self, *args, **kwargs)
"""


def _seeded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What it answers, with the same random numbers each time."""
    torch.manual_seed(0)
    return function(*args, **kwargs)


def _check_same(expected: Any, found: Any, how: str) -> None:
    """Raises `NoAttention` where two answers of a layer differ by more than rounding."""
    like = None if mismatch(expected, found) else fidelity(expected, found, MaxDrop(0.0))
    if like is None or not like.after > 0.999 or not like.details["largest_relative_error"] < _LAYER_ROUNDING:
        raise NoAttention(f"{how}, it answers otherwise")


def _share(subject: Subject, paths: list[str]) -> float:
    rows = {row.path: row for row in subject.report.modules}
    spent = sum(rows[path].total_ms for path in paths if path in rows)
    return min(1.0, spent / subject.call_ms) if subject.call_ms else 0.0
