"""The same cuts as plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from jupyter_optim.techniques.low_rank_factors import SHRINKAGE
from jupyter_optim.techniques.transformer_pruning.cut import Setting
from jupyter_optim.techniques.transformer_pruning.parts import Part


def source(
    kept: Mapping[Part, torch.Tensor], settings_of_modules: list[Setting], settings_of_configs: list[Setting],
    *, refit: bool,
) -> str:  # fmt: skip
    """Source that cuts a variable ``model``; with a refit it needs ``example_inputs``, too.

    Args:
        kept: by part, the numbers of its units that stay.
        settings_of_modules: attributes of modules that change.
        settings_of_configs: attributes of the configs of modules that change.
        refit: whether the layers behind are fitted to the inputs.
    """
    rows = "".join(_row(part, units) for part, units in kept.items())
    settings = "".join(
        f"model.get_submodule({path!r}).{name} = {value}\n" for path, name, value in settings_of_modules
    )
    settings += "".join(
        f"model.get_submodule({path!r}).config.{name} = {value}\n"
        for path, name, value in settings_of_configs
    )
    return f"""\
import torch
from torch import nn

# consumer: (units, inputs for each, those that stay as the bits of a number, [(producer, blocks, outputs for each)])
parts = {{
{rows}}}
{_CAPTURE if refit else ""}

def numbers(blocks, units, size, kept):
    stay = [unit for unit in range(units) if kept >> unit & 1]
    return torch.arange(blocks * units * size).view(blocks, units, size)[:, stay].flatten()


def keep(layer, numbers, outputs):
    transposed = type(layer).__name__ == "Conv1D"  # of transformers: its weight is (inputs, outputs)
    for name, dim in [("weight", 0 if outputs != transposed else 1), ("bias", 0)]:
        former = getattr(layer, name)
        if former is not None and (outputs or name == "weight"):
            kept = former.detach().index_select(dim, numbers.to(former.device))
            setattr(layer, name, nn.Parameter(kept, former.requires_grad))
    names = ("nx", "nf") if transposed else ("in_features", "out_features")
    setattr(layer, names[outputs], len(numbers))

{_REFIT if refit else ""}
for path, (units, size, kept, producers) in parts.items():
    consumer, columns = model.get_submodule(path), numbers(1, units, size, kept)
{"    refit(consumer, columns, *moments[path])" + chr(10) if refit else ""}\
    keep(consumer, columns, outputs=False)
    for producer, blocks, outputs in producers:
        keep(model.get_submodule(producer), numbers(blocks, units, outputs, kept), outputs=True)
{settings}"""


def _row(part: Part, units: torch.Tensor) -> str:
    bits = sum(1 << unit for unit in units.tolist())
    producers = [(each.path, each.blocks, each.size) for each in part.producers]
    return f"    {part.consumer!r}: ({part.units}, {part.size}, {bits:#x}, {producers!r}),\n"


_CAPTURE = """\
moments = {path: [0, 0.0, 0.0] for path in parts}


def watch(path):
    def note(layer, inputs):
        rows = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float()
        seen = moments[path]
        seen[0] += len(rows)
        seen[1] = seen[1] + rows.double().sum(0)
        seen[2] = seen[2] + (rows.T @ rows).double()

    return model.get_submodule(path).register_forward_pre_hook(note)


handles = [watch(path) for path in parts]
with torch.no_grad():  # example_inputs: a tuple of the model's inputs, or a dict
    model(**example_inputs) if isinstance(example_inputs, dict) else model(*example_inputs)
for handle in handles:
    handle.remove()
"""

_REFIT = f"""
def refit(layer, columns, count, total, products):
    # least squares: the columns that stay give the former outputs again, as far as they can
    transposed = type(layer).__name__ == "Conv1D"
    exact = (layer.weight.detach().T if transposed else layer.weight.detach()).double()
    mean = total / count if layer.bias is not None else torch.zeros_like(total)
    spread = products / count - torch.outer(mean, mean)
    ridge = spread.diagonal().mean() * min(1.0, {SHRINKAGE} * len(spread) / count) + 1e-12
    inner = spread[columns][:, columns] + torch.eye(len(columns), dtype=spread.dtype, device=spread.device) * ridge
    fitted = torch.linalg.solve(inner, (exact @ spread[:, columns] + ridge * exact[:, columns]).T).T
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias = nn.Parameter(
                (layer.bias.double() + exact @ mean - fitted @ mean[columns]).to(layer.bias.dtype),
                layer.bias.requires_grad,
            )
        exact[:, columns] = fitted
        new = (exact.T if transposed else exact).to(layer.weight.dtype).contiguous()
        layer.weight = nn.Parameter(new, layer.weight.requires_grad)

"""
