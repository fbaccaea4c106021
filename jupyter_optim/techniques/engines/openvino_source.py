"""The same as the OpenVINO techniques do, as plain source that needs OpenVINO and PyTorch alone."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_optim.hardware.isa import has_vnni

_QUANTIZE = """\
    samples = [{samples}]
    samples = [tuple(value.numpy() for value in each if isinstance(value, torch.Tensor)) for each in samples]
    graph = nncf.quantize(graph, nncf.Dataset(samples), subset_size=len(samples), model_type={model_type}{fix})
"""
_FIX = """,
        # this CPU sums int8 products in 16 bits, which 8-bit weights would overflow
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    """
_CALIBRATION = """\
# calibration: the inputs that the scales are found on, a list of such tuples or dicts
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
{calibration}keywords = example_inputs if isinstance(example_inputs, dict) else {{}}
run_on_openvino(model, () if keywords else tuple(example_inputs), keywords)
"""


@dataclass(frozen=True, slots=True)
class Int8:
    """How NNCF quantizes the graph first."""

    transformer: bool
    """Whether it is told that the graph has attention."""
    calibrated: bool
    """Whether on other inputs than the example's."""


def source(precision: str, int8: Int8 | None = None) -> str:
    """Plain source that lets OpenVINO answer a variable called ``model``.

    Args:
        precision: of what is in floating point, as OpenVINO names it.
        int8: for an int8 form of it.
    """
    if int8 is None:
        return _SOURCE.format(imports="", quantize="", calibration="", precision=precision)
    model_type = "nncf.ModelType.TRANSFORMER" if int8.transformer else "None"
    samples = "tree_flatten(each)[0] for each in calibration" if int8.calibrated else "inputs"
    return _SOURCE.format(
        imports="import nncf\n", quantize=_QUANTIZE.format(samples=samples, model_type=model_type, fix="" if has_vnni() else _FIX),
        calibration=_CALIBRATION if int8.calibrated else "", precision=precision,
    )  # fmt: skip
