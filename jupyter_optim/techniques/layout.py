"""`channels-last`: images with their channels side by side in memory, as convolution kernels like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique, counted

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    dims = tensor.dim()
    if dims not in _FORMATS or not tensor.is_floating_point():
        return tensor
    return tensor.contiguous(memory_format=_FORMATS[dims])


class ChannelsLastInputs:
    """A forward pre-hook: image inputs arrive with their channels last in memory; shapes stay."""

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs, laid out anew."""
        laid: tuple[tuple[Any, ...], dict[str, Any]] = tree.map_tensors((args, kwargs), _channels_last)
        return laid


class ChannelsLast(Technique):
    """Convolution weights and image inputs in the channels-last memory format."""

    name = "channels-last"
    family = "layout"
    rebuilds = "structure"
    label = "Lay out channels last"
    risk = "None: the same numbers in another order; sums may round differently."

    def judge(self, subject: Subject) -> Assessment:
        layers = subject.layers(_CONVOLUTIONS, exact=False)
        reason = subject.obstacle
        if reason is None and not layers:
            reason = "it calls no 2-d or 3-d convolution"
        if reason is None and all(_is_channels_last(layer.module) for layer in layers):
            reason = "its convolutions are channels-last already"
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        draft = Draft(subject.model)
        prediction = rehearse_draft(subject, self.transform(draft.root, subject, {}, subject.progress).model)
        return Assessment(
            applies=True, reason=f"{counted(len(layers), 'convolution')} on kernels that need no reordering of their inputs.",
            covers_share=min(1.0, sum(layer.share for layer in layers)), predicted_speedup=prediction.speedup,
            predicted_size_ratio=1.0, method=prediction.method,
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        return self._laid_out(draft)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        return self._laid_out(draft)

    def _laid_out(self, draft: nn.Module) -> Change:
        made: dict[int, nn.Parameter] = {}
        for module in draft.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter.dim() in _FORMATS:
                    if id(parameter) not in made:
                        made[id(parameter)] = nn.Parameter(
                            _channels_last(parameter.detach()), parameter.requires_grad
                        )
                    module._parameters[name] = made[id(parameter)]
        draft.register_forward_pre_hook(ChannelsLastInputs(), prepend=True, with_kwargs=True)
        return Change(draft, f"{len(made)} weights laid out channels last")

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return """\
import torch
from torch.utils._pytree import tree_map

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

def _channels_last(value):
    if isinstance(value, torch.Tensor) and value.dim() in FORMATS and value.is_floating_point():
        return value.contiguous(memory_format=FORMATS[value.dim()])
    return value

for parameter in model.parameters():
    parameter.data = _channels_last(parameter.data)
model.register_forward_pre_hook(
    lambda module, args, kwargs: tree_map(_channels_last, (args, kwargs)), with_kwargs=True, prepend=True
)
"""


def _is_channels_last(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() not in _FORMATS:
        return True
    ambiguous = weight.is_contiguous()
    return weight.is_contiguous(memory_format=_FORMATS[weight.dim()]) and not ambiguous
