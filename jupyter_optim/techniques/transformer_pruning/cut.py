"""Take units out of a draft's layers, and tell its modules and its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from jupyter_optim.techniques.matrices import is_transposed
from jupyter_optim.techniques.transformer_pruning.parts import (
    HEAD_COUNTS,
    HEAD_WIDTHS,
    KEY_VALUE_COUNTS,
    Outputs,
    Part,
    kept_rows,
)

_CHANNEL_COUNTS = ("intermediate_size", "hidden_dim", "ffn_dim", "d_ff", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim",
                   "ffn_hidden_size", "mlp_dim")  # fmt: skip

Setting = tuple[str, str, int]
"""Path of a module, an attribute of it (or of its config), and the new value."""


def cut_(root: nn.Module, part: Part, kept: torch.Tensor) -> list[Setting]:
    """Keep only these units of `part`, in the draft under `root`.

    Returns:
        Attributes that were set.
    """
    for each in part.producers:
        _keep_(root.get_submodule(each.path), kept_rows(each, part.units, kept), outputs=True)
    columns = kept_rows(Outputs(part.consumer, 1, part.size), part.units, kept)
    _keep_(root.get_submodule(part.consumer), columns, outputs=False)
    settings = []
    if part.kind == "attention heads":
        for name, module in root.get_submodule(part.path).named_modules(prefix=part.path):
            for attribute, value in _head_settings(module.__dict__, part, len(kept)).items():
                module.__dict__[attribute] = value
                settings.append((name, attribute, value))
    return settings


def mask_(root: nn.Module, part: Part, kept: torch.Tensor) -> None:
    """What `cut_` must be equal to: the consumer multiplies the other units by zero."""
    layer = root.get_submodule(part.consumer)
    columns = kept_rows(Outputs(part.consumer, 1, part.size), part.units, kept)
    former = layer._parameters["weight"]
    assert former is not None
    dim = 0 if is_transposed(layer) else 1
    mask = torch.zeros(former.shape[dim], dtype=former.dtype, device=former.device)
    mask[columns.to(former.device)] = 1
    masked = former.detach() * (mask[:, None] if dim == 0 else mask)
    layer._parameters["weight"] = nn.Parameter(masked, requires_grad=former.requires_grad)


def _keep_(layer: nn.Module, numbers: torch.Tensor, *, outputs: bool) -> None:
    transposed = is_transposed(layer)
    dim = 0 if outputs != transposed else 1
    for name, axis in (("weight", dim), *((("bias", 0),) if outputs else ())):
        former = layer._parameters.get(name)
        if former is not None:
            kept = former.detach().index_select(axis, numbers.to(former.device))
            layer._parameters[name] = nn.Parameter(kept, requires_grad=former.requires_grad)
    size = {
        (True, True): "nf",
        (True, False): "nx",
        (False, True): "out_features",
        (False, False): "in_features",
    }[transposed, outputs]
    if size in layer.__dict__:
        layer.__dict__[size] = len(numbers)


def _head_settings(found: Mapping[str, Any], part: Part, left: int) -> dict[str, int]:
    heads = part.units * part.queries
    rules = (
        (HEAD_COUNTS, heads, left * part.queries),
        (KEY_VALUE_COUNTS, part.units, left),
        (HEAD_WIDTHS, part.units * part.size, left * part.size),
    )
    return {
        name: value
        for names, before, value in rules
        for name in names
        if type(found.get(name)) is int and found[name] == before
    }


def set_configs_(root: nn.Module, parts: Sequence[Part], left: Mapping[Part, int]) -> list[Setting]:
    """Tell the configs of `transformers` models, where all parts of a kind have one size before and after.

    Returns:
        Settings of the config of the module at the path.
    """
    settings: list[Setting] = []
    told: set[int] = set()
    for path, module in root.named_modules():
        config = module.__dict__.get("config")
        if not callable(getattr(config, "to_dict", None)) or id(config) in told:
            continue
        told.add(id(config))
        under = [part for part in parts if not path or part.path == path or part.path.startswith(f"{path}.")]
        for attribute, value in _config_values(vars(config), under, left).items():
            setattr(config, attribute, value)
            settings.append((path, attribute, value))
    return settings


def _config_values(
    found: Mapping[str, Any], parts: Sequence[Part], left: Mapping[Part, int]
) -> dict[str, int]:
    values: dict[str, int] = {}
    for kind in ("feed-forward channels", "attention heads"):
        those = [part for part in parts if part.kind == kind]
        if len({(part.units, part.queries, part.size, left[part]) for part in those}) != 1:
            continue
        part = those[0]
        if kind == "attention heads":
            values.update(_head_settings(found, part, left[part]))
        else:
            # GPT-2 leaves its width out where it is the usual one
            values.update({name: left[part] for name in _CHANNEL_COUNTS
                           if name in found and (found[name] == part.units or (name, found[name]) == ("n_inner", None))})  # fmt: skip
    return values
