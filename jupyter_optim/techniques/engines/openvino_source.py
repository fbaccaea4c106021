"""The same as the OpenVINO techniques do, as plain source that needs OpenVINO and PyTorch alone."""

from __future__ import annotations

_QUANTIZE = """\
    graph = nncf.quantize(
        graph, nncf.Dataset([tuple(inputs[i].numpy() for i in tensors)]), subset_size=1, model_type={model_type}
    )
"""

_SOURCE = """\
{imports}import openvino as ov
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten


def run_on_openvino(model, args, kwargs):
    own = model.forward
    inputs, inputs_spec = tree_flatten((args, kwargs))
    tensors = [i for i, value in enumerate(inputs) if isinstance(value, torch.Tensor)]
    with torch.no_grad():
        outputs, outputs_spec = tree_flatten(own(*args, **kwargs))

    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *given):
            values = dict(zip(tensors, given))
            args, kwargs = tree_unflatten([values.get(i, value) for i, value in enumerate(inputs)], inputs_spec)
            return tuple(value for value in tree_flatten(own(*args, **kwargs))[0] if isinstance(value, torch.Tensor))

    with torch.no_grad():
        graph = ov.convert_model(Flat(), example_input=tuple(inputs[i] for i in tensors))
{quantize}    settings = {{
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {precision!r},
        "SNIPPETS_MODE": "DISABLE",  # some fusions of OpenVINO 2026.4 crash the process
    }}
    compiled = ov.compile_model(graph, "CPU", settings)

    def forward(*args, **kwargs):
        if model.training:
            return own(*args, **kwargs)
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        found = compiled([value.detach().numpy() for value in given])
        made = iter([torch.from_numpy(found[i].copy()) for i in range(len(found))])
        values = [next(made).to(value.dtype) if isinstance(value, torch.Tensor) else value for value in outputs]
        return tree_unflatten(values, outputs_spec)

    model.forward = forward  # it computes no gradients, and does not notice new weights


# example_inputs: a tuple of the model's inputs, or a dict
keywords = example_inputs if isinstance(example_inputs, dict) else {{}}
run_on_openvino(model, () if keywords else tuple(example_inputs), keywords)
"""


def source(precision: str, *, int8: bool, transformer: bool = False) -> str:
    """Plain source that lets OpenVINO answer a variable called ``model``.

    Args:
        precision: of what is in floating point, as OpenVINO names it.
        int8: whether NNCF quantizes the graph first.
        transformer: whether it is told that the graph has attention.
    """
    model_type = "nncf.ModelType.TRANSFORMER" if transformer else "None"
    return _SOURCE.format(
        imports="import nncf\n" if int8 else "", quantize=_QUANTIZE.format(model_type=model_type) if int8 else "",
        precision=precision,
    )  # fmt: skip
