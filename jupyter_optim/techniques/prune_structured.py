"""`prune-structured`: whole channels are taken out, so that the layers really get smaller.

Of CNNs and MLPs here, by torch-pruning; transformers have a path of their own, in `transformer_pruning`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.progress import Progress
from jupyter_optim.quality import mismatch
from jupyter_optim.techniques.narrowed import narrow_, narrowed
from jupyter_optim.techniques.packed_layers import PackedEmbedding, PackedEmbeddingBag
from jupyter_optim.techniques.rehearse import rehearse_layers
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Assessment, Change, Kept, Option, Technique
from jupyter_optim.techniques.thinner_layers import CONVOLUTIONS, thinner, width_left, width_of
from jupyter_optim.techniques.transformer_pruning import prune as transformers

_PRUNED = (*CONVOLUTIONS, nn.Linear)
_HARMLESS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.PReLU, *_PRUNED,
)  # fmt: skip
_LITTLE = 0.05
_MOST = 0.9
"""Of one layer's channels: a layer of few, or none, would pass on hardly anything."""


class PruneStructured(Technique):
    """Remove channels with all that depends on them (torch-pruning; arXiv 2301.12900), or attention heads."""

    name = "prune-structured"
    family = "pruning"
    label = "Prune channels"
    risk = "Without training afterwards, accuracy drops with the ratio: give `evaluate`, and start small."
    weights = "cloned"
    lossy = True
    rebuilds = "structure"
    options = (
        Option(
            "ratio", "Fraction of channels", 0.3, low=0.05, high=0.9, step=0.05, help="Of each layer, or of all."
        ),
        Option(
            "scope", "Spread", "layer", choices=("layer", "global"),
            help="layer: each loses that fraction; global: the least of all layers' channels, relative to their "
            "layer's mean, and at most nine of ten of a layer (CNNs and MLPs).",
        ),
        Option(
            "round_to",
            "Round channels to",
            8,
            low=1,
            high=64,
            step=1,
            help="What vector units like: 8 or 16.",
        ),
        Option(
            "importance", "By", "auto", choices=("auto", "magnitude", "activation", "taylor"),
            help="auto: magnitude in CNNs and MLPs; in transformers, what a channel does on this run's inputs. "
            "taylor needs a model that returns its loss.",
        ),
        Option(
            "parts", "Of a transformer", "all", choices=("all", "feed-forward", "heads"), help="What is cut."
        ),
        Option(
            "refit", "Refit", True,
            help="Fit the layer behind to its former outputs, on this run's inputs (transformers, by activation).",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        unfit = subject.obstacle or _packed(subject)
        if unfit is None and self._is_transformer(subject):
            return transformers.assess(subject, self.parse_options({}))
        reason = unfit or self._obstacle(subject)
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        layers = subject.layers(_PRUNED)
        outputs = subject.workload.outputs(subject.model)
        if not all(isinstance(leaf, torch.Tensor) for _, leaf in tree.leaves(outputs)):
            return Assessment(
                applies=False, reason="its outputs are not all tensors, which torch-pruning cannot follow"
            )
        options = self.parse_options({})
        kept_whole = _output_layers(subject, subject.modules, outputs)
        prunable = [layer for layer in layers if layer.module not in kept_whole]
        if all(width_left(width_of(layer.module), options) >= width_of(layer.module) for layer in prunable):
            return Assessment(applies=False, reason=f"its layers are too narrow to lose {options['ratio']:.0%} of their "
                              f"channels in steps of {options['round_to']}")  # fmt: skip
        prediction = rehearse_layers(
            subject, layers, lambda module, layer: thinner(module, options, head=layer.module in kept_whole),
            scale_rest=options["ratio"],
        )  # fmt: skip
        kept = 1 - options["ratio"]
        told = self._told_of_little(subject, layers, kept_whole, options)
        return Assessment(
            applies=True,
            reason=f"{len(layers)} layers lose {options['ratio']:.0%} of their channels, and so about half of their work.{told}",
            covers_share=prediction.covers_share, predicted_speedup=prediction.speedup,
            predicted_size_ratio=kept * kept, method=prediction.method,
        )  # fmt: skip

    def _told_of_little(
        self, subject: Subject, layers: list[Layer], kept_whole: list[nn.Module], options: Mapping[str, Any]
    ) -> str:
        """That taking out few channels is slower, where it is: odd widths cost more than they save."""
        few = {**options, "ratio": _LITTLE}
        if all(width_left(width_of(layer.module), few) >= width_of(layer.module) for layer in layers):
            return f" {_LITTLE:.0%} would be nothing, rounded to {options['round_to']}."
        little = rehearse_layers(
            subject, layers, lambda module, layer: thinner(module, few, head=layer.module in kept_whole),
            scale_rest=_LITTLE,
        ).speedup  # fmt: skip
        if little is None or little >= 1:
            return ""
        return f" Only {_LITTLE:.0%} would be slower ({little:.2f}x): widths that the kernels like less."

    def _is_transformer(self, subject: Subject) -> bool:
        """Whether its blocks are cut one by one: it has attention, or else what torch-pruning cannot follow."""
        return transformers.has_parts(subject) and (
            transformers.attends(subject) or self._obstacle(subject) is not None
        )

    def _obstacle(self, subject: Subject) -> str | None:
        kinds = (_kind_obstacle(path, module) for path, module in subject.modules.items())
        reason = next((each for each in kinds if each is not None), None)
        if reason is not None:
            return reason
        repeated = [layer.path for layer in subject.layers(_PRUNED) if layer.calls > 1]
        if repeated:
            return f"`{repeated[0]}` is used more than once in a call"
        if len(subject.layers(_PRUNED)) < 2:
            return "it has fewer than two Linear or convolution layers, and the last one's outputs must stay"
        if subject.workload.kwargs and subject.workload.args:
            return "its inputs are both positional and by keyword"
        if subject.workload.expression is not None:
            return "its workload is an expression, and pruning must call the model itself"
        return None

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        if self._is_transformer(subject):
            if options["scope"] == "global":
                raise NotApplicable(
                    "scope='global' is for CNNs and MLPs: the blocks of a transformer keep one width, which its config names."
                )
            return transformers.prune(draft, subject, options, progress)
        if options["importance"] not in ("auto", "magnitude"):
            raise NotApplicable(
                f"importance={options['importance']!r} is for transformers; channels of CNNs and MLPs go by magnitude."
            )
        return self._by_torch_pruning(draft, subject, options, progress)

    def _by_torch_pruning(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        import torch_pruning  # noqa: PLC0415 (needed here only)

        workload = subject.workload
        reference = workload.outputs(subject.model)
        modules = dict(draft.named_modules())
        ignored = _output_layers(subject, modules, reference)
        before = sum(p.numel() for p in draft.parameters())
        progress.report("Looking for channels that depend on each other", None)
        inputs = workload.kwargs or workload.args
        was = {module: module.training for module in draft.modules()}
        gradients = {parameter: parameter.requires_grad for parameter in draft.parameters()}
        with torch.enable_grad():
            # torch-pruning follows the autograd graph, so every parameter must be in it
            for parameter in gradients:
                parameter.requires_grad_(True)
            settings: dict[str, Any] = {
                "example_inputs": tree.clone(inputs if isinstance(inputs, dict) else tuple(inputs)),
                "importance": torch_pruning.importance.GroupMagnitudeImportance(p=2), "ignored_layers": ignored,
                "forward_fn": lambda model, given: model(**given) if isinstance(given, dict) else model(*given),
            }  # fmt: skip
            ratios: dict[nn.Module, float] = {}
            if options["scope"] == "global":
                ratios = _spread(torch_pruning.pruner.MagnitudePruner, draft, settings, options)
            pruner = torch_pruning.pruner.MagnitudePruner(
                draft, pruning_ratio=0.0 if ratios else options["ratio"], pruning_ratio_dict=ratios,
                round_to=int(options["round_to"]), **settings,
            )  # fmt: skip
            for group in pruner.step(interactive=True):
                progress.check()
                group.prune()
        for module, training in was.items():
            module.training = training
        trainable = any(gradients.values())
        for parameter in draft.parameters():
            parameter.requires_grad_(trainable)
            parameter.grad = None
        _check_outputs(workload.outputs(draft), reference)
        after = sum(p.numel() for p in draft.parameters())
        if after == before:
            raise NotApplicable(
                f"No channel was taken out: {options['ratio']:.0%} of the layers' channels, rounded to "
                f"{options['round_to']}, is none. Choose a larger ratio or a smaller rounding."
            )
        names = {module: path for path, module in modules.items()}
        facts = {
            "ignored": [names[module] for module in ignored], "layers": narrowed(subject.model, draft),
            "ratios": {names[module]: ratio for module, ratio in ratios.items()},
        }  # fmt: skip
        return Change(draft, f"{1 - after / before:.0%} of the parameters taken out", facts)

    def rebuild(self, draft: nn.Module, kept: Kept) -> Change:
        if kept.facts.get("transformer"):
            return transformers.rebuild(draft, kept.facts)
        narrow_(draft, kept.facts["layers"])
        return Change(draft)

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        if facts.get("transformer"):
            code: str = facts["transformer"]
            return code
        return f"""\
import torch_pruning as tp

pruner = tp.pruner.MagnitudePruner(
    model,
    example_inputs=example_inputs,  # a tuple of the model's inputs, or a dict
    importance=tp.importance.GroupMagnitudeImportance(p=2),
    pruning_ratio={0.0 if facts["ratios"] else options["ratio"]},
    pruning_ratio_dict={{model.get_submodule(path): ratio for path, ratio in {facts["ratios"]!r}.items()}},
    ignored_layers=[model.get_submodule(path) for path in {facts["ignored"]!r}],
    round_to={int(options["round_to"])},
    forward_fn=lambda model, given: model(**given) if isinstance(given, dict) else model(*given),
)
pruner.step()
"""


def _spread(
    pruner: Any, draft: nn.Module, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[nn.Module, float]:
    """By layer, what it loses where the least of all layers' channels go.

    torch-pruning ranks them, but would take whole layers out: it looks at the limit of a layer before it cuts, and
    rounds to none (1.6.1). So each layer is told its own share, of which a few channels stay.
    """
    ranked = pruner(draft, pruning_ratio=options["ratio"], global_pruning=True, **settings)
    step, ratios = int(options["round_to"]), {}
    for group in ranked.step(interactive=True):
        module = group[0].dep.target.module
        width = width_of(module)
        least = max(1, math.ceil(width * (1 - _MOST) / step)) * step
        rounded = min(width, max(least, round((width - len(group[0].idxs)) / step) * step))
        # half a channel more, so that a product of floats is not rounded to one less
        ratios[module] = max(0.0, 1 - (rounded + 0.5) / width)
    return ratios


def _packed(subject: Subject) -> str | None:
    """That a layer is quantized already which would have to lose channels, if there is one."""
    for path, module in subject.modules.items():
        packed = hasattr(module, "packed_bytes") or type(module).__module__.startswith(
            "torch.ao.nn.quantized"
        )
        if packed and not isinstance(module, PackedEmbedding | PackedEmbeddingBag):
            return f"`{path}` is quantized already, and packed weights lose no channels: undo that, prune, and quantize then"
    return None


def _kind_obstacle(path: str, module: nn.Module) -> str | None:
    """Why channels next to this module cannot be taken out, or None."""
    if list(module.parameters(recurse=False)) and type(module) not in _HARMLESS:
        return f"`{path}` is a {type(module).__name__}: channels next to it cannot be taken out"
    if isinstance(module.__dict__.get("weight"), torch.Tensor):
        return f"the weights of `{path}` are made by a hook (weight norm, or a pruning mask)"
    if isinstance(module, CONVOLUTIONS) and module.groups not in (1, module.in_channels):
        return f"`{path}` is a grouped convolution, whose channels cannot be taken out one by one"
    return None


def _head(layers: list[Layer]) -> str | None:
    """Path of the last layer, whose outputs are the model's."""
    return layers[-1].path if layers else None


def _output_layers(subject: Subject, modules: Mapping[str, nn.Module], reference: Any) -> list[nn.Module]:
    """Layers that must keep their outputs: those whose width is a dimension of the model's outputs."""
    widths = {size for tensor in tree.tensors(reference) for size in tensor.shape[1:]}
    found = [modules[layer.path] for layer in subject.layers(_PRUNED) if width_of(layer.module) in widths]
    head = _head(subject.layers(_PRUNED))
    return found or ([modules[head]] if head is not None else [])


def _check_outputs(outputs: Any, reference: Any) -> None:
    changed = mismatch(reference, outputs)
    if changed is not None:
        raise NotApplicable(f"Taking out channels would change what the model returns: {changed}.")
