"""`prune-depth`: whole blocks are left out, those that change their input least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.module_hooks import take_off
from jupyter_optim.progress import Progress
from jupyter_optim.quality import mismatch
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.input_moments import every_layer_called
from jupyter_optim.techniques.rehearse import rehearse_draft
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Assessment, Change, Option, Technique, counted

_DEPTHS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "depth",
)  # fmt: skip
_PER_LAYER = ("layer_types", "mlp_layer_types")
"""Lists in a config with an entry for each block."""


@dataclass(slots=True)
class Stack:
    """Blocks that follow one another, each with an output of its input's shape."""

    path: str
    """Of the ModuleList or Sequential that holds them."""
    depth: int
    """How many modules that holds."""
    likeness: dict[int, float] = field(default_factory=dict)
    """By number: cosine of the output and the input, of those that can be left out."""


class PruneDepth(Technique):
    """Leave out the blocks of least influence, 1 minus the cosine of input and output (ShortGPT, arXiv 2403.03853)."""

    name = "prune-depth"
    family = "pruning"
    lossy = True
    label = "Drop blocks"
    risk = "Each block that goes changes the answers: give `evaluate`, start with one, and train afterwards."
    options = (
        Option(
            "blocks", "Blocks to drop", 1, low=1, high=64, step=1,
            help="Those whose output is most like their input on this run.",
        ),
    )  # fmt: skip

    def judge(self, subject: Subject) -> Assessment:
        reason = subject.obstacle
        stacks = [] if reason else stacks_of(subject)
        if reason is None and not stacks:
            reason = (
                "it has no ModuleList or Sequential of blocks that are called one after the other, each with an output "
                "of its input's shape"
            )
        if reason is not None:
            return Assessment(applies=False, reason=reason)
        draft = Draft(subject.model).root
        dropped = _least(stacks, 1)
        _drop_(draft, stacks, dropped)
        workload = subject.workload
        changed = mismatch(workload.outputs(subject.model), workload.outputs(draft))
        if changed is not None:
            return Assessment(applies=False, reason=f"it would change what the model returns: {changed}")
        prediction = rehearse_draft(subject, draft)
        ((path, numbers),) = dropped.items()
        best = next(stack for stack in stacks if stack.path == path).likeness[numbers[0]]
        count = sum(len(stack.likeness) for stack in stacks)
        after = sum(parameter.nbytes for parameter in draft.parameters())
        before = sum(parameter.nbytes for parameter in subject.model.parameters())
        return Assessment(
            applies=True,
            reason=f"Of {counted(count, 'block')}, `{path}.{numbers[0]}` changes its input least: cosine {best:.3f}. The "
            "gain is that of dropping this one.",
            covers_share=_share(subject, stacks), predicted_speedup=prediction.speedup,
            predicted_size_ratio=after / max(1, before), method=prediction.method,
        )  # fmt: skip

    def transform(
        self, draft: nn.Module, subject: Subject, options: Mapping[str, Any], progress: Progress
    ) -> Change:
        progress.report("Comparing each block's output with its input", None)
        stacks = stacks_of(subject)
        number = int(options["blocks"])
        most = sum(_droppable(stack) for stack in stacks)
        if number > most:
            raise NotApplicable(
                f"{counted(number, 'block')} cannot be dropped: {most} can, so that one of each stack stays."
            )
        dropped = _least(stacks, number)
        progress.check()
        settings = _drop_(draft, stacks, dropped)
        names = ", ".join(
            f"{path}.{number}".lstrip(".") for path, numbers in dropped.items() for number in numbers
        )
        note = f"{counted(number, 'block')} left out: {names}"
        return Change(draft, note, {"dropped": dropped, "settings": settings})

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        settings = "".join(
            f"model.get_submodule({path!r}).{name} = {value!r}\n" for path, name, value in facts["settings"]
        )
        return f"""\
for path, numbers in {facts["dropped"]!r}.items():
    for number in reversed(numbers):
        del model.get_submodule(path)[number]
{settings}"""


def stacks_of(subject: Subject) -> list[Stack]:
    """The stacks of the model, with how like their inputs its blocks' outputs are; one call of the live model."""
    holders = {
        path: module
        for path, module in subject.modules.items()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    }
    calls = _calls(subject, {child for holder in holders.values() for child in holder.children()})
    found = []
    for path, holder in holders.items():
        stack = Stack(path, len(holder))
        sorts = [_sort(child) for child in holder.children()]
        usual = max(set(sorts), key=sorts.count)
        for number, child in enumerate(holder.children()):
            seen = calls.get(child)
            # leaves are layers, not blocks; a block that differs from the others has a task of its own
            if seen is not None and seen.times == 1 and sorts[number] == usual and list(child.children()):
                stack.likeness[number] = seen.likeness
        if len(stack.likeness) > 1 and _follow(stack, list(holder.children()), calls):
            found.append(stack)
    return found


@dataclass(slots=True)
class _Call:
    times: int
    likeness: float
    input: torch.Tensor
    output: torch.Tensor


def _calls(subject: Subject, blocks: set[nn.Module]) -> dict[nn.Module, _Call]:
    """Of each block with an output of its input's shape: how often it is called, and how like they are."""
    seen: dict[nn.Module, _Call] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if module not in blocks:
            return
        given = next(iter(tree.tensors((args, kwargs))), None)
        got = next(iter(tree.tensors(output)), None)
        if given is None or got is None or given.shape != got.shape or not got.is_floating_point():
            return
        a, b = (
            each.detach().flatten(1).float() if each.dim() > 1 else each.detach()[None].float()
            for each in (given, got)
        )
        likeness = float(torch.cosine_similarity(a, b, dim=1).mean())
        times = seen[module].times + 1 if module in seen else 1
        seen[module] = _Call(times, likeness, given, got)

    handle = hooks.register_module_forward_hook(note, with_kwargs=True)
    try:
        with every_layer_called():
            subject.workload.outputs(subject.model)
    finally:
        take_off(handle)
    return seen


def _sort(block: nn.Module) -> tuple[Any, ...]:
    return (type(block), *((name, parameter.shape) for name, parameter in block.named_parameters()))


def _follow(stack: Stack, blocks: list[nn.Module], calls: Mapping[nn.Module, _Call]) -> bool:
    """Whether each of these blocks gets what the one before it gave."""
    numbers = list(stack.likeness)
    return all(
        calls[blocks[after]].input is calls[blocks[before]].output
        for before, after in pairwise(numbers)
        if after == before + 1
    )


def _droppable(stack: Stack) -> int:
    return len(stack.likeness) - 1


def _least(stacks: list[Stack], number: int) -> dict[str, list[int]]:
    """By stack, the blocks most like their inputs: `number` in all, and never all of a stack."""
    ranked = sorted(
        ((likeness, stack.path, each) for stack in stacks for each, likeness in stack.likeness.items()),
        reverse=True,
    )
    room = {stack.path: _droppable(stack) for stack in stacks}
    dropped: dict[str, list[int]] = {}
    for _, path, each in ranked:
        if number > 0 and room[path] > 0:
            dropped.setdefault(path, []).append(each)
            room[path] -= 1
            number -= 1
    return {path: sorted(numbers) for path, numbers in dropped.items()}


def _drop_(
    root: nn.Module, stacks: list[Stack], dropped: Mapping[str, list[int]]
) -> list[tuple[str, str, Any]]:
    """Take the blocks out of the draft; numbers of layers, in modules and configs, follow.

    Returns:
        Attributes that were set: path of a module, name, value.
    """
    settings: list[tuple[str, str, Any]] = []
    depths = {stack.path: stack.depth for stack in stacks}
    configs: dict[int, str] = {}
    for path, numbers in dropped.items():
        holder = root.get_submodule(path)
        assert isinstance(holder, nn.ModuleList | nn.Sequential)  # `stacks_of` looked
        for number in reversed(numbers):
            del holder[number]
        for number, block in enumerate(holder):
            for name, module in block.named_modules(prefix=f"{path}.{number}".lstrip(".")):
                # where a key-value cache keeps its keys
                if type(module.__dict__.get("layer_idx")) is int:
                    module.__dict__["layer_idx"] = number
                    settings.append((name, "layer_idx", number))
        for above in _above(path):
            module = root.get_submodule(above)
            settings += _shorten_(module.__dict__, above, "", depths[path], numbers)
            config = module.__dict__.get("config")
            if callable(getattr(config, "to_dict", None)) and id(config) not in configs:
                configs[id(config)] = above
                settings += _shorten_(config, above, "config.", depths[path], numbers)
    return settings


def _above(path: str) -> list[str]:
    """Paths of the modules that hold this one: the nearest first, the root last."""
    parts = path.split(".")[:-1] if path else []
    return [".".join(parts[:end]) for end in range(len(parts), -1, -1)]


def _shorten_(
    owner: Any, path: str, prefix: str, depth: int, numbers: list[int]
) -> list[tuple[str, str, Any]]:
    """Tell a module's attributes, or a config, that these blocks of `depth` are gone."""
    found = owner if isinstance(owner, dict) else vars(owner)
    changed: dict[str, Any] = {}
    for name in _DEPTHS:
        if type(found.get(name)) is int and found[name] == depth:
            changed[name] = depth - len(numbers)
            break  # the others of an encoder and decoder of one depth are not this stack's
    for name in _PER_LAYER:
        value = found.get(name)
        if isinstance(value, list) and len(value) == depth:
            changed[name] = [each for number, each in enumerate(value) if number not in numbers]
    for name, value in changed.items():
        if isinstance(owner, dict):
            owner[name] = value
        else:
            setattr(owner, name, value)
    return [(path, f"{prefix}{name}", value) for name, value in changed.items()]


def _share(subject: Subject, stacks: list[Stack]) -> float:
    paths = {f"{stack.path}.{number}".lstrip(".") for stack in stacks for number in stack.likeness}
    return min(
        1.0, sum(layer.share for layer in subject.layers([nn.Module], exact=False) if layer.path in paths)
    )
