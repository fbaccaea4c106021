"""Layers that multiply by a matrix: torch's Linear, and the transposed one of Hugging Face's GPT-2."""

from __future__ import annotations

import dis
from itertools import pairwise
from types import FunctionType

import torch
from torch import nn

from jupyter_optim.techniques.replace import has_hooks


def is_matrix(module: nn.Module) -> bool:
    """Whether it is a Linear or a `transformers` Conv1D, with weights of its own and nothing around them.

    Subclasses are left alone, since they may compute something else; so are layers whose weights are made by a
    hook or a parametrization, and those with hooks of the user's.
    """
    plain = type(module) is nn.Linear or is_transposed(module)
    return plain and not has_hooks(module) and module._parameters.get("weight") is not None


def is_transposed(module: nn.Module) -> bool:
    """Whether its weight has the shape (inputs, outputs), as that of a `transformers` Conv1D."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def matrix_of(module: nn.Module) -> torch.Tensor:
    """Its weight as a view of shape (outputs, inputs), cut from the graph. Of a 1x1 convolution, too."""
    weight = module._parameters["weight"]
    assert weight is not None  # `is_matrix` looked
    if is_transposed(module):
        return weight.detach().T
    return weight.detach().flatten(1)


def widths(module: nn.Module) -> tuple[int, int]:
    """Numbers of its inputs and its outputs."""
    outputs, inputs = matrix_of(module).shape
    return inputs, outputs


def shared_weights(root: nn.Module) -> set[int]:
    """Ids of the parameters that more than one module has: tied weights."""
    owners: dict[int, int] = {}
    for module in root.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {key for key, number in owners.items() if number > 1}


def read_directly(root: nn.Module) -> set[nn.Module]:
    """Layers whose weight or bias the forward of their parent reads itself: ``self.linear1.weight``.

    Found in its bytecode. Such a layer cannot give way to one that has no such attribute.
    """
    found: set[nn.Module] = set()
    known: dict[type, set[str]] = {}
    for parent in root.modules():
        kind = type(parent)
        if kind not in known:
            known[kind] = _read_names(getattr(kind, "forward", None))
        found.update(
            child for name, child in parent._modules.items() if child is not None and name in known[kind]
        )
    return found


def _read_names(forward: object) -> set[str]:
    if not isinstance(forward, FunctionType):
        return set()
    names = [
        each.argval if each.opname in ("LOAD_ATTR", "LOAD_METHOD") else None
        for each in dis.get_instructions(forward)
    ]
    return {first for first, then in pairwise(names) if first is not None and then in ("weight", "bias")}
