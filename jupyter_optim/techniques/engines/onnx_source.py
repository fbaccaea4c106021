"""The same as the techniques of ONNX Runtime do, as plain source that needs it and PyTorch alone."""

from __future__ import annotations

from jupyter_optim.hardware.isa import has_vnni

_QUANTIZED = {
    "float32": "    data = graph.SerializeToString()\n",
    "dynamic": """\
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(graph, f"{folder}/plain.onnx")
        quant_pre_process(f"{folder}/plain.onnx", f"{folder}/prepared.onnx", skip_symbolic_shape=True)
        quantize_dynamic(
            f"{folder}/prepared.onnx", f"{folder}/int8.onnx", per_channel=True, reduce_range=REDUCED,
            weight_type=QuantType.QInt8,
        )
        with open(f"{folder}/int8.onnx", "rb") as file:
            data = file.read()
""",
    "static": """\
    class Samples(CalibrationDataReader):
        left = iter([
            dict(zip(
                [each.name for each in graph.graph.input],
                [value.numpy() for value in each if isinstance(value, torch.Tensor)],
            ))
            for each in SAMPLES
        ])

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        onnx.save(graph, f"{folder}/plain.onnx")
        quant_pre_process(f"{folder}/plain.onnx", f"{folder}/prepared.onnx", skip_symbolic_shape=True)
        quantize_static(
            f"{folder}/prepared.onnx", f"{folder}/int8.onnx", Samples(), per_channel=True, reduce_range=REDUCED,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        )
        with open(f"{folder}/int8.onnx", "rb") as file:
            data = file.read()
""",
}
_IMPORTS = {
    "float32": "",
    "dynamic": "import tempfile\n\nimport onnx\nfrom onnxruntime.quantization import QuantType, quantize_dynamic\n"
    "from onnxruntime.quantization.shape_inference import quant_pre_process\n",
    "static": "import tempfile\n\nimport onnx\n"
    "from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static\n"
    "from onnxruntime.quantization.shape_inference import quant_pre_process\n",
}

_CALIBRATION = """\
# calibration: the inputs that the scales are found on, a list of such tuples or dicts
"""

_SOURCE = """\
%(imports)simport onnxruntime
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten


def run_on_onnxruntime(model, args, kwargs):
    own = model.forward
    inputs, inputs_spec = tree_flatten((args, kwargs))
    tensors = [i for i, value in enumerate(inputs) if isinstance(value, torch.Tensor)]
    with torch.no_grad():
        outputs, outputs_spec = tree_flatten(own(*args, **kwargs))

    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.training = model.training
            self.model = model

        def forward(self, *given):
            values = dict(zip(tensors, given))
            args, kwargs = tree_unflatten([values.get(i, value) for i, value in enumerate(inputs)], inputs_spec)
            return tuple(value for value in tree_flatten(own(*args, **kwargs))[0] if isinstance(value, torch.Tensor))

    given = tuple(inputs[i] for i in tensors)
    open_batch = (tuple({0: torch.export.Dim.AUTO} if each.dim() else {} for each in given),)
    with torch.no_grad():
        try:
            program = torch.export.export(Flat(), given, dynamic_shapes=open_batch, strict=False)
        except Exception:  # its first dimension cannot be left open
            program = torch.export.export(Flat(), given, strict=False)
    graph = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
%(quantized)s    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.force_spinning_stop", "1")  # it leaves the cores to what comes next
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def forward(*args, **kwargs):
        if model.training:
            return own(*args, **kwargs)
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        found = session.run(None, {name: value.detach().numpy() for name, value in zip(names, given)})
        made = iter([torch.from_numpy(each) for each in found])
        values = [next(made).to(value.dtype) if isinstance(value, torch.Tensor) else value for value in outputs]
        return tree_unflatten(values, outputs_spec)

    model.forward = forward  # it computes no gradients, and does not notice new weights


# example_inputs: a tuple of the model's inputs, or a dict
%(calibration)skeywords = example_inputs if isinstance(example_inputs, dict) else {}
run_on_onnxruntime(model, () if keywords else tuple(example_inputs), keywords)
"""


def source(word: str, *, calibrated: bool = False) -> str:
    """Plain source that lets ONNX Runtime answer a variable called ``model``.

    Args:
        word: ``float32``, or how activations get their int8 scales: ``dynamic`` or ``static``.
        calibrated: whether static scales are found on other inputs than the example's.
    """
    calibrated = calibrated and word == "static"
    samples = "[tree_flatten(each)[0] for each in calibration]" if calibrated else "[inputs]"
    # without VNNI a CPU sums int8 products in 16 bits, which 8-bit weights would overflow
    quantized = _QUANTIZED[word].replace("SAMPLES", samples).replace("REDUCED", str(not has_vnni()))
    return _SOURCE % {
        "imports": _IMPORTS[word], "quantized": quantized,
        "calibration": _CALIBRATION if calibrated else "",
    }  # fmt: skip
