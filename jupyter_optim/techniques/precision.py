"""`bf16` and `fp16`: weights and arithmetic in 16 bits; the caller's inputs and outputs stay what they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.rehearse import Prediction, layer_ratio, rehearse_draft
from jupyter_optim.techniques.replace import has_hooks
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique

_COSTLY: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose arithmetic in 16 bits a CPU may lack."""

_QUICK_MS = 20.0
"""A model whose call takes less is rehearsed as a whole."""

_FAR_SLOWER = 0.25
"""A predicted speed-up at which nobody needs a closer one."""


class CastInputs:
    """A forward pre-hook: floating-point inputs of `source` arrive as `target`."""

    def __init__(self, source: torch.dtype, target: torch.dtype) -> None:
        self.source, self.target = source, target

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs, cast."""
        cast: tuple[tuple[Any, ...], dict[str, Any]] = tree.map_tensors((args, kwargs), self._cast)
        return cast

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.target) if tensor.dtype == self.source else tensor


class CastOutputs(CastInputs):
    """A forward hook: floating-point outputs of `source` leave as `target`."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """The outputs, cast."""
        return tree.map_tensors(output, self._cast)


def floating_dtype(model: nn.Module) -> torch.dtype | None:
    """The one floating-point dtype of all the model's parameters, or None if there are several or none."""
    found = {p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex()}
    return found.pop() if len(found) == 1 else None


def cast_weights_(draft: nn.Module, dtype: torch.dtype) -> None:
    """Give `draft` weights and buffers of `dtype` in new tensors; tied ones stay tied.

    `nn.Module.to` would write to the parameter objects, and the draft shares them with the live model.
    """
    cast: dict[int, torch.Tensor] = {}
    for module in draft.modules():
        for registry in (module._parameters, module._buffers):
            entries: dict[str, Any] = registry
            for name, tensor in entries.items():
                if tensor is None or not tensor.is_floating_point():
                    continue
                if id(tensor) not in cast:
                    made = tensor.detach().to(dtype)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    cast[id(tensor)] = nn.Parameter(made, tensor.requires_grad) if is_parameter else made
                entries[name] = cast[id(tensor)]


class _HalfPrecision(Technique):
    family = "precision"
    rebuilds = "structure"
    dtype: ClassVar[torch.dtype]

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or self._obstacle(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        draft = self.transform(Draft(subject.model).root, subject, {}, subject.progress).model
        hidden = None
        try:
            prediction = _far_slower(subject, draft, self.dtype)
            if prediction is None:
                prediction = rehearse_draft(subject, draft)
                hidden = _hidden(subject.workload.outputs(draft), self.dtype)
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            return Assessment(applies=False, reason=f"in {self.name} its forward raises: {first}")
        if hidden is not None:
            return Assessment(
                applies=False, reason=f"it returns {hidden}, whose tensors would stay {self.name}"
            )
        return Assessment(
            applies=True, reason=f"All floating-point work in {self.name}, with half the bytes to move.",
            covers_share=1.0, predicted_speedup=prediction.speedup, predicted_size_ratio=_size_ratio(subject.model),
            method=prediction.method,
        )  # fmt: skip

    def _obstacle(self, subject: Subject) -> str | None:
        if any(hasattr(module, "packed_bytes") for module in subject.modules.values()):
            return "its layers are int8 already, and take float32 only: undo that first"
        dtype = floating_dtype(subject.model)
        if dtype is None:
            return "it has no parameters of one floating-point type"
        if dtype.is_complex:
            return f"its parameters are complex, and {self.name} has no complex counterpart"
        if dtype in (torch.float16, torch.bfloat16):
            return f"its parameters are {str(dtype).removeprefix('torch.')} already"
        if subject.training:
            return "it was called in train mode: train with autocast instead, which keeps the master weights"
        if subject.workload.mode.autocast:
            return "it runs under autocast already"
        return None

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        return self._halved(draft)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return self._halved(draft)

    def _halved(self, draft: nn.Module) -> Change:
        source = floating_dtype(draft)
        if source is None:
            raise NotApplicable("It has no parameters of one floating-point type.")
        cast_weights_(draft, self.dtype)
        draft.register_forward_pre_hook(CastInputs(source, self.dtype), prepend=True, with_kwargs=True)
        draft.register_forward_hook(CastOutputs(self.dtype, source))
        return Change(draft, f"all weights as {self.name}", {"source": str(source)})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        target = str(self.dtype)
        return f"""\
import torch
from torch.utils._pytree import tree_map

def _cast(value, source, target):
    return tree_map(lambda t: t.to(target) if isinstance(t, torch.Tensor) and t.dtype == source else t, value)

model.to({target})
model.register_forward_pre_hook(
    lambda module, args, kwargs: _cast((args, kwargs), {facts["source"]}, {target}), with_kwargs=True, prepend=True
)
model.register_forward_hook(lambda module, args, output: _cast(output, {target}, {facts["source"]}))
"""


def _far_slower(subject: Subject, draft: nn.Module, dtype: torch.dtype) -> Prediction | None:
    """What the costliest layer says if that alone makes the draft far slower, else None.

    A CPU without arithmetic in 16 bits takes 40 times as long for a convolution: a call of the draft, tens of seconds.
    """
    layers = [layer for layer in subject.layers(_COSTLY, exact=False) if not has_hooks(layer.module)]
    if not layers or subject.call_ms < _QUICK_MS:
        return None
    layer = max(layers, key=lambda each: each.share)
    module, changed, cast = layer.module, draft.get_submodule(layer.path), CastInputs(torch.float32, dtype)

    def in_16_bits(*inputs: torch.Tensor) -> object:
        args, _ = cast(changed, inputs, {})
        return changed(*args)

    with subject.workload.undisturbed(module), subject.workload.undisturbed(changed):
        ratio = layer_ratio(layer, lambda _module, _layer: in_16_bits)
    if ratio is None:
        return None
    like = [each for each in layers if type(each.module) is type(module)]
    share = min(1.0, sum(each.share for each in like))
    speedup = 1 / (1 - share + share / ratio)
    if speedup > _FAR_SLOWER:
        return None
    method = (
        f"one {type(module).__name__}, measured, as an example of all {len(like)}; the rest counted as it is"
    )
    return Prediction(speedup, share, method)


def _hidden(outputs: Any, dtype: torch.dtype) -> str | None:
    """Class of an output that holds tensors of `dtype` where `CastOutputs` does not look, or None."""
    for _, leaf in tree.leaves(outputs):
        if not isinstance(leaf, torch.Tensor) and any(t.dtype == dtype for t in tree.held_tensors(leaf)):
            return f"a {type(leaf).__name__}"
    return None


def _size_ratio(model: nn.Module) -> float | None:
    found = {id(t): t for t in [*model.parameters(), *model.buffers()]}.values()
    total = sum(t.numel() * t.element_size() for t in found)
    halved = sum(t.numel() * (2 if t.is_floating_point() else t.element_size()) for t in found)
    return halved / total if total else None


class Bf16(_HalfPrecision):
    """Weights and arithmetic in bfloat16."""

    name = "bf16"
    label = "Use bfloat16"
    risk = "8 bits of precision instead of 24: answers differ in the third digit."
    dtype = torch.bfloat16


class Fp16(_HalfPrecision):
    """Weights and arithmetic in float16."""

    name = "fp16"
    label = "Use float16"
    risk = "11 bits of precision, and values above 65,504 overflow."
    dtype = torch.float16
