"""Pack the weights of many layers: which ones may be, the work itself, its prediction, and its source."""

from __future__ import annotations

import inspect
import pprint
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from jupyter_optim.hardware.isa import has_bf16
from jupyter_optim.profiling.memory.of_model import weights_bytes
from jupyter_optim.progress import Progress
from jupyter_optim.techniques import packed_layers
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.packed_layers import (
    SHRINK_STEPS,
    PackedWeight,
    input_squares,
    packed_layer,
)
from jupyter_optim.techniques.rehearse import Prediction, layer_times, rehearse_draft, rehearse_layers
from jupyter_optim.techniques.replace import has_hooks, replace_modules_
from jupyter_optim.techniques.subject import Layer, Subject

_QUICKLY_PACKED = 10_000_000
"""Parameters: a moment's work."""

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Packing:
    """How weights are packed."""

    bits: int
    group: int
    """Columns that share a scale; 0 for the whole row."""
    compute: torch.dtype | None = None
    """Type of the multiplications; None for that of the inputs."""
    steps: int = SHRINK_STEPS
    weighted: bool = False
    """Whether a column counts as much as what it is multiplied with."""

    def bytes_of(self, weight: torch.Tensor) -> float:
        """Bytes that `weight` takes when it is packed."""
        groups = len(weight) * (-(-weight.shape[1] // self.group) if self.group else 1)
        return weight.numel() * self.bits / 8 + groups * (4 if self.bits == 4 else weight.element_size())


def packable(subject: Subject, kinds: Sequence[type[nn.Module]]) -> list[Layer]:
    """The called layers of `kinds` whose weights nobody but such layers holds."""
    found = [layer for layer in subject.layers(kinds) if _is_plain(layer.module)]
    held = weight_holders(subject.model)
    inside = {layer.module for layer in found}
    return [each for each in found if held[id(weight_of(each))] <= inside]


def weight_of(layer: Layer) -> torch.Tensor:
    """The weight of one of `packable`."""
    weight = layer.module.weight
    assert isinstance(weight, torch.Tensor)  # torch types attributes of modules as either
    return weight


def weight_holders(model: nn.Module) -> dict[int, set[nn.Module]]:
    """By id of each parameter: the modules that hold it."""
    held: dict[int, set[nn.Module]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            held.setdefault(id(parameter), set()).add(module)
    return held


def _is_plain(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    if weight is None or type(weight) is not nn.Parameter or weight.dtype not in _FLOATS:
        return False
    # hooks of the user and parametrizations would be lost with the layer; max_norm writes to the weights
    return not has_hooks(module) and getattr(module, "max_norm", None) is None and weight.numel() > 0


def pack(
    layers: Mapping[str, nn.Module], packing: Packing, squares: Mapping[str, torch.Tensor], progress: Progress
) -> dict[str, nn.Module]:
    """The packed form of each layer, by path; layers with one weight share what is packed of it."""
    made: dict[str, nn.Module] = {}
    first: dict[int, PackedWeight] = {}
    for number, (path, layer) in enumerate(layers.items()):
        progress.report(f"Packing weights in {packing.bits} bits", number / len(layers))
        weight = layer.weight
        new = packed_layer(
            layer, packing.bits, packing.group, importance=squares.get(path), steps=packing.steps,
            compute=packing.compute,
        )  # fmt: skip
        if id(weight) in first:
            new.share(first[id(weight)])
        first.setdefault(id(weight), new)
        made[path] = new
    return made


def packed_draft(
    draft: nn.Module, subject: Subject, layers: Iterable[Layer], packing: Packing, progress: Progress
) -> nn.Module:
    """`draft` with `layers` packed."""
    modules = {layer.path: layer.module for layer in layers}
    squares = {}
    if packing.weighted:
        progress.report("Looking at what the layers get", None)
        squares = input_squares(modules, lambda: subject.workload.outputs(subject.model))
    return replace_modules_(draft, pack(modules, packing, squares, progress))


def repacked(draft: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    """`draft` with the layers of `facts_of` packed; what their numbers hold means nothing."""
    modules = {path: draft.get_submodule(path) for path in facts["layers"]}
    compute = {str(each): each for each in (None, torch.bfloat16)}[facts["compute"]]
    packing = Packing(facts["bits"], facts["group"], steps=1, compute=compute)
    return replace_modules_(draft, pack(modules, packing, {}, Progress()))


def foretell(subject: Subject, layers: list[Layer], packing: Packing) -> tuple[Prediction, float]:
    """What packing brings, measured without the search for the best ranges; and its size ratio."""
    quick = replace(packing, steps=1, weighted=False)
    before = weights_bytes(subject.model) or 1
    share = min(1.0, sum(layer.share for layer in layers))
    weights = {id(weight_of(layer)): weight_of(layer) for layer in layers}.values()
    if sum(weight.numel() for weight in weights) > _QUICKLY_PACKED:
        prediction = rehearse_layers(subject, layers, lambda module, _layer: _one(module, quick))
        saved = sum(w.numel() * w.element_size() - packing.bytes_of(w) for w in weights)
        return replace(prediction, covers_share=share), max(0.0, 1 - saved / before)
    draft = packed_draft(Draft(subject.model).root, subject, layers, quick, subject.progress)
    return replace(rehearse_draft(subject, draft), covers_share=share), weights_bytes(draft) / before


def _one(module: nn.Module, packing: Packing) -> nn.Module:
    return packed_layer(module, packing.bits, packing.group, steps=1, compute=packing.compute)


def faster_compute(layers: list[Layer], packing: Packing, wanted: str) -> torch.dtype | None:
    """The type in which the costliest Linear is faster on this machine: bfloat16, or None for that of its inputs."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else None
    linears = [each for each in layers if isinstance(each.module, nn.Linear)]
    costliest = max(linears, key=lambda layer: layer.total_ms, default=None)
    if costliest is None or weight_of(costliest).dtype is not torch.float32 or not has_bf16():
        return None  # without units for it, bfloat16 would be emulated
    if weight_of(costliest).device.type != "cpu":
        return None
    forms = [_one(costliest.module, replace(packing, compute=each)) for each in (None, torch.bfloat16)]
    times = layer_times(costliest, forms)
    return torch.bfloat16 if times is not None and times[1] < times[0] else None


def facts_of(layers: Iterable[Layer], packing: Packing) -> dict[str, Any]:
    """What `source` needs."""
    return {
        "layers": [layer.path for layer in layers], "bits": packing.bits, "group": packing.group,
        "compute": str(packing.compute), "weighted": packing.weighted,
    }  # fmt: skip


_PACK = """
layers = {{path: model.get_submodule(path) for path in {paths}}}
{squares}
packed, first = {{}}, {{}}
for path, layer in layers.items():
    packed[layer] = packed_layer(
        layer, {bits}, {group}, importance=squares.get(path), compute={compute}
    ).train(layer.training)
    if id(layer.weight) in first:  # tied
        packed[layer].share(first[id(layer.weight)])
    first.setdefault(id(layer.weight), packed[layer])
{put}"""

_SQUARES = """\
# example_inputs: a tuple of the model's inputs, or a dict
with torch.no_grad():
    squares = input_squares(
        layers,
        lambda: model(**example_inputs) if isinstance(example_inputs, dict) else model(*example_inputs),
    )"""

_PUT = """\
for parent in list(model.modules()):
    for name, child in parent._modules.items():
        parent._modules[name] = packed.get(child, child)
"""


def source_of(facts: Mapping[str, Any]) -> str:
    """Plain PyTorch: this package's layers as they stand, and the loop that puts them in."""
    layers = inspect.getsource(packed_layers).replace("from __future__ import annotations\n\n", "")
    paths = pprint.pformat(facts["layers"], width=100, compact=True)
    return f"{layers}\n" + _PACK.format(
        paths=paths, bits=facts["bits"], group=facts["group"], compute=facts["compute"],
        squares=_SQUARES if facts["weighted"] else "squares = {}",
        put="model = packed[model]\n" if facts["layers"] == [""] else _PUT,
    )  # fmt: skip
