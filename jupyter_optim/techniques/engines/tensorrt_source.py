"""The same as the technique `tensorrt` does, as plain source that needs torch_tensorrt and PyTorch alone."""

from __future__ import annotations

from jupyter_optim.techniques.engines.tensorrt_engine import MOST

_OPEN = """\
    batch = [
        {{0: torch.export.Dim.AUTO(min=1, max={most} * len(value))}} if value.dim() and len(value) > 1 else {{}}
        for value in given
    ]
    with torch.no_grad():
        try:
            program = torch.export.export(Flat(), given, dynamic_shapes=(tuple(batch),), strict=False)
        except Exception:  # its first dimension cannot be left open
            program = torch.export.export(Flat(), given, strict=False)
"""
_FIXED = """\
    with torch.no_grad():
        program = torch.export.export(Flat(), given, strict=False)
"""

_SOURCE = """\
import copy

import torch
import torch_tensorrt
from torch.utils._pytree import tree_flatten, tree_unflatten


def run_on_tensorrt(model, args, kwargs):
    own = model.forward
    inputs, inputs_spec = tree_flatten((args, kwargs))
    tensors = [i for i, value in enumerate(inputs) if isinstance(value, torch.Tensor)]
    with torch.no_grad():
        outputs, outputs_spec = tree_flatten(own(*args, **kwargs))

    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.training = model.training
            self.model = copy.deepcopy(model).to(torch.{precision})

        def forward(self, *given):
            given = [value.to(torch.{precision}) if value.is_floating_point() else value for value in given]
            values = dict(zip(tensors, given))
            args, kwargs = tree_unflatten([values.get(i, value) for i, value in enumerate(inputs)], inputs_spec)
            found = tree_flatten(self.model.forward(*args, **kwargs))[0]
            pairs = [pair for pair in zip(found, outputs) if isinstance(pair[1], torch.Tensor)]
            return tuple(value.to(before.dtype) for value, before in pairs)

    given = tuple(inputs[i].contiguous() for i in tensors)
{export}    engine = torch_tensorrt.dynamo.compile(program, inputs=list(given), device=given[0].device)

    def forward(*args, **kwargs):
        if model.training:
            return own(*args, **kwargs)
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        with torch.no_grad():
            made = iter(tree_flatten(engine(*[value.contiguous() for value in given]))[0])
        values = [next(made) if isinstance(value, torch.Tensor) else value for value in outputs]
        return tree_unflatten(values, outputs_spec)

    model.forward = forward  # it computes no gradients, and does not notice new weights


# example_inputs: a tuple of the model's inputs, or a dict
keywords = example_inputs if isinstance(example_inputs, dict) else {{}}
run_on_tensorrt(model, () if keywords else tuple(example_inputs), keywords)
"""


def source(precision: str, *, dynamic_batch: bool) -> str:
    """Plain source that lets TensorRT answer a variable called ``model``.

    Args:
        precision: of what is in floating point.
        dynamic_batch: whether for other first dimensions, too.
    """
    return _SOURCE.format(precision=precision, export=_OPEN.format(most=MOST) if dynamic_batch else _FIXED)
