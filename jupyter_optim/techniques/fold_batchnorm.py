"""`fold-batchnorm`: a convolution or Linear does the scaling and shifting of the BatchNorm behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from jupyter_optim.errors import NotApplicable
from jupyter_optim.profiling.memory.of_model import weights_bytes
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.dataflow import watch
from jupyter_optim.techniques.draft import _HOOK_DICTS, Draft
from jupyter_optim.techniques.exact import check_exact
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.replace import replace_modules_
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Technique, counted

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

Pair = tuple[str, str]


class FoldBatchNorm(Technique):
    """Each BatchNorm that reads one layer's answers alone is computed into that layer's weights."""

    name = "fold-batchnorm"
    family = "layout"
    label = "Fold BatchNorm"
    risk = "None beyond rounding, as long as the model is not trained any further."
    rebuilds = "structure"

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle or self._obstacle(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        draft = Draft(subject.model)
        try:
            change = self.transform(draft.root, subject, {}, subject.progress)
        except NotApplicable as refusal:
            return Assessment(applies=False, reason=str(refusal))
        folded = {norm for _, norm in change.facts["pairs"]}
        share = sum(layer.share for layer in subject.layers(_NORMS) if layer.path in folded)
        prediction = rehearse_draft(subject, change.model)
        return Assessment(
            applies=True, reason=f"{counted(len(folded), 'BatchNorm')} within the weights of the layers before them: one pass over the data less for each.",
            covers_share=min(1.0, share), predicted_speedup=prediction.speedup,
            predicted_size_ratio=_size_ratio(subject.model, change.model), method=prediction.method,
        )  # fmt: skip

    def _obstacle(self, subject: Subject) -> str | None:
        norms = subject.layers(_NORMS)
        if not norms:
            return "it calls no BatchNorm"
        if subject.training:
            return "it was called in train mode, where BatchNorm uses the statistics of each batch: call `model.eval()` first"
        if all(layer.module.training for layer in norms):
            return "its BatchNorm layers are in train mode: call `eval()` on them first"
        return None

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        progress.report("Looking at who reads what", None)
        pairs = self.pairs(draft, subject)
        if not pairs:
            raise NotApplicable(
                "no BatchNorm in evaluation mode reads the answers of a convolution or Linear that nobody else reads"
            )
        modules = dict(draft.named_modules())
        for number, (layer, norm) in enumerate(pairs):
            progress.report(f"Folding {counted(len(pairs), 'BatchNorm')}", number / len(pairs))
            _fold_(modules[layer], modules[norm])
        norms = dict.fromkeys(norm for _, norm in pairs)
        everywhere = _all_names(draft, [modules[norm] for norm in norms])
        draft = replace_modules_(draft, {norm: nn.Identity() for norm in norms})
        progress.report("Comparing answers", None)
        check_exact(draft, subject)
        return Change(
            draft,
            f"{counted(len(norms), 'BatchNorm')} folded into {counted(len(pairs), 'layer')}",
            {"pairs": pairs, "norms": everywhere},
        )  # fmt: skip

    def pairs(self, draft: nn.Module, subject: Subject) -> list[Pair]:
        """Paths of each layer and the norm that can be folded into it, as one call of the draft shows them."""
        paths = {module: path for path, module in draft.named_modules()}
        layers = [module for module in paths if type(module) in _LAYERS and _is_plain(module)]
        norms = [
            module for module in paths if type(module) in _NORMS and _is_plain(module) and _is_fixed(module)
        ]
        workload = subject.workload

        def call(model: nn.Module) -> Any:
            args, kwargs = workload.fresh_inputs()
            return workload.call(model, args, kwargs)

        with workload.undisturbed(draft), workload.mode.applied(draft):
            found = watch(draft, layers, norms, call).pairs()
        return [(paths[layer], paths[norm]) for layer, norm in found if _fits(layer, norm)]

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        norms: dict[str, nn.Module] = {}
        for path, norm in kept.facts["pairs"]:
            layer, former = draft.get_submodule(path), draft.get_submodule(norm)
            if type(layer) not in _LAYERS or type(former) not in _NORMS:
                raise TypeError(f"`{norm}` is no BatchNorm after a layer `{path}`")
            weight = layer._parameters["weight"]
            assert weight is not None  # each of these classes has one
            if layer._parameters["bias"] is None:
                shift = weight.new_zeros(former.get_buffer("running_mean").shape)
                layer._parameters["bias"] = nn.Parameter(shift, weight.requires_grad)
            norms[norm] = nn.Identity()
        return Change(replace_modules_(draft, norms))

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        pairs = "".join(f"    {pair!r},\n" for pair in facts["pairs"])
        norms = "".join(f"    {norm!r},\n" for norm in facts["norms"])
        return f"""\
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

@torch.no_grad()
def _fold(layer, norm):
    dtype = torch.promote_types(layer.weight.dtype, torch.float32)
    weight, mean, var = (each.to(dtype) for each in (layer.weight, norm.running_mean, norm.running_var))
    bias = None if layer.bias is None else layer.bias.to(dtype)
    scale = torch.ones_like(mean) if norm.weight is None else norm.weight.to(dtype)
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias.to(dtype)
    if isinstance(layer, nn.Linear):
        fused = fuse_linear_bn_weights(weight, bias, mean, var, norm.eps, scale, shift)
    else:
        fused = fuse_conv_bn_weights(weight, bias, mean, var, norm.eps, scale, shift, isinstance(layer, TRANSPOSED))
    fused = [each.to(layer.weight.dtype) for each in fused]
    layer.weight, layer.bias = (nn.Parameter(each, layer.weight.requires_grad) for each in fused)

for layer, norm in [
{pairs}]:
    _fold(model.get_submodule(layer), model.get_submodule(norm))
for norm in [
{norms}]:
    model.set_submodule(norm, nn.Identity())
"""


def _is_plain(module: nn.Module) -> bool:
    """Whether nothing but its forward happens at its call: no hooks, such as those of weight norm."""
    return not any(module.__dict__.get(name) for name in _HOOK_DICTS) and "forward" not in module.__dict__


def _is_fixed(norm: Any) -> bool:
    """Whether it scales by known statistics, and not by those of the batch."""
    return bool(not norm.training and norm.running_mean is not None and norm.running_var is not None)


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    # PyTorch's fusion takes the second dimension of a transposed weight for all its channels
    if isinstance(layer, _TRANSPOSED) and layer.groups != 1:
        return False
    tensors = [*layer._parameters.values(), *norm._parameters.values()]
    return len({each.dtype for each in tensors if each is not None}) == 1


@torch.no_grad()
def _fold_(layer: Any, norm: Any) -> None:
    """Give `layer` new weights that do what `norm` does too, rounded once; the former tensors are only read."""
    old = layer.weight
    dtype = torch.promote_types(old.dtype, torch.float32)
    weight, mean, var = (each.to(dtype) for each in (old, norm.running_mean, norm.running_var))
    bias = None if layer.bias is None else layer.bias.to(dtype)
    # the fusion of a Linear takes no norm without weights
    scale = torch.ones_like(mean) if norm.weight is None else norm.weight.to(dtype)
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias.to(dtype)
    if isinstance(layer, nn.Linear):
        fused = fuse_linear_bn_weights(weight, bias, mean, var, norm.eps, scale, shift)
    else:
        transposed = isinstance(layer, _TRANSPOSED)
        fused = fuse_conv_bn_weights(weight, bias, mean, var, norm.eps, scale, shift, transposed)
    for name, tensor in zip(("weight", "bias"), fused, strict=True):
        layer._parameters[name] = nn.Parameter(tensor.detach().to(old.dtype), old.requires_grad)


def _all_names(root: nn.Module, modules: list[nn.Module]) -> list[str]:
    """Every path that leads to one of `modules`."""
    wanted = set(modules)
    return [path for path, module in root.named_modules(remove_duplicate=False) if module in wanted]


def _size_ratio(live: nn.Module, draft: nn.Module) -> float | None:
    before = weights_bytes(live)
    return weights_bytes(draft) / before if before else None
