"""Other libraries, used as their documentation says; each gives something to call, or raises."""

from __future__ import annotations

import copy
import importlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.engines.openvino_engine import openvino, without_telemetry

Call = Callable[[], torch.Tensor]


def called(model: Callable[..., Any], inputs: Any) -> Call:
    """A call of a PyTorch model on inputs as `jupyter_optim.optimize` takes them."""
    args, kwargs = _parted(inputs)
    return lambda: first(model(*args, **kwargs))


def first(outputs: Any) -> torch.Tensor:
    """The first tensor that a model returns. Raises `StopIteration` if there is none."""
    if isinstance(outputs, torch.Tensor):
        return outputs  # to look for leaves takes 10 us, which those pay that are called through PyTorch
    # Hugging Face's outputs are dicts with fields, and no containers to PyTorch before they are registered
    leaves = outputs.values() if isinstance(outputs, Mapping) else tree_leaves(outputs)
    return next(each for each in leaves if isinstance(each, torch.Tensor))


def bf16(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """PyTorch in bfloat16."""
    return called(copy.deepcopy(model).bfloat16(), _cast(inputs))


def bf16_channels_last(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """The same, with images laid out channels last."""
    if not any(tensor.dim() == 4 for tensor in _tensors(inputs)):
        raise ValueError("no images")
    laid_out = tree_map_only(
        torch.Tensor, lambda t: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t,
        _cast(inputs),
    )  # fmt: skip
    return called(copy.deepcopy(model).bfloat16().to(memory_format=torch.channels_last), laid_out)


def dynamic_int8(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """torch.ao's quantize_dynamic."""
    with quiet():
        made = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear, nn.LSTM}, torch.qint8)
    return called(made, inputs)


def torchao_int8(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """torchao's int8 for activations and weights, compiled, as its documentation says it should be."""
    if not any(isinstance(module, nn.Linear) for module in model.modules()):
        raise ValueError("no Linear layer")
    with quiet():
        quantization = importlib.import_module("torchao.quantization")
        made = copy.deepcopy(model)
        quantization.quantize_(made, quantization.Int8DynamicActivationInt8WeightConfig())
        call = called(torch.compile(made), inputs)
        call()
    return call


def compiled(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """torch.compile."""
    with quiet():
        call = called(torch.compile(copy.deepcopy(model)), inputs)
        call()
    return call


def openvino_float(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """OpenVINO at the precision that it takes by itself, for fixed shapes."""
    return _on_openvino(_graph(model, inputs), inputs)


def openvino_int8(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """NNCF's post-training quantization on these inputs, on OpenVINO, for fixed shapes."""
    without_telemetry()
    with quiet():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        sample = tuple(tensor.numpy() for tensor in _tensors(inputs))
        kind = nncf.ModelType.TRANSFORMER if transformer else None
        graph = nncf.quantize(_graph(model, inputs), nncf.Dataset([sample]), subset_size=1, model_type=kind)
    return _on_openvino(graph, inputs)


def onnxruntime_float(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """ONNX Runtime in float32."""
    with tempfile.TemporaryDirectory() as folder:
        return _on_onnxruntime(_onnx(model, inputs, Path(folder)), inputs)


def onnxruntime_int8(model: nn.Module, inputs: Any, *, transformer: bool) -> Call:
    """ONNX Runtime's own quantization: static for images, on these inputs, else dynamic, as its documentation advises."""
    images = any(tensor.dim() == 4 for tensor in _tensors(inputs))
    with tempfile.TemporaryDirectory() as folder, quiet():
        quantization = importlib.import_module("onnxruntime.quantization")
        shape_inference = importlib.import_module("onnxruntime.quantization.shape_inference")
        plain, prepared = _onnx(model, inputs, Path(folder)), Path(folder) / "prepared.onnx"
        shape_inference.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        made = Path(folder) / "int8.onnx"
        if images:
            reader = _reader(quantization.CalibrationDataReader, plain, inputs)
            quantization.quantize_static(str(prepared), str(made), reader, per_channel=True)
        else:
            quantization.quantize_dynamic(str(prepared), str(made), per_channel=True)
        return _on_onnxruntime(made, inputs)


def _onnx(model: nn.Module, inputs: Any, folder: Path) -> Path:
    args, kwargs = _parted(inputs)
    path = folder / "model.onnx"
    with quiet(), torch.inference_mode(mode=False), torch.no_grad():
        found = torch.onnx.export(copy.deepcopy(model), args, kwargs=kwargs, dynamo=True, verbose=False)
        assert found is not None
        found.save(path)
    return path


def _names(session: Any) -> list[str]:
    return [each.name for each in session.get_inputs()]


def _session(path: Path) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _reader(base: type, path: Path, inputs: Any) -> Any:
    feeds: Iterator[dict[str, Any]] = iter(
        [dict(zip(_names(_session(path)), (t.numpy() for t in _tensors(inputs)), strict=True))]
    )
    return type("Reader", (base,), {"get_next": lambda _: next(feeds, None)})()


def _on_onnxruntime(path: Path, inputs: Any) -> Call:
    session = _session(path)
    feed = dict(zip(_names(session), (t.numpy() for t in _tensors(inputs)), strict=True))
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def _graph(model: nn.Module, inputs: Any) -> Any:
    args, kwargs = _parted(inputs)
    with quiet():
        return openvino().convert_model(copy.deepcopy(model), example_input=kwargs or args)


def _on_openvino(graph: Any, inputs: Any) -> Call:
    tensors = _tensors(inputs)
    graph.reshape({port: list(t.shape) for port, t in zip(graph.inputs, tensors, strict=True)})
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    request = openvino().Core().compile_model(graph, "CPU", settings).create_infer_request()

    def call() -> torch.Tensor:
        found = request.infer([t.numpy() for t in tensors], share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return call


def _parted(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        return inputs, {}
    return (inputs,), {}


def _cast(inputs: Any) -> Any:
    return tree_map_only(torch.Tensor, lambda t: t.bfloat16() if t.is_floating_point() else t, inputs)


def _tensors(inputs: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(_parted(inputs)) if isinstance(each, torch.Tensor)]


OTHERS: dict[str, Callable[..., Call]] = {
    "eager bf16": bf16,
    "eager bf16, channels last": bf16_channels_last,
    "torch.ao dynamic int8": dynamic_int8,
    "torchao int8, torch.compile": torchao_int8,
    "torch.compile": compiled,
    "OpenVINO": openvino_float,
    "NNCF int8 on OpenVINO": openvino_int8,
    "ONNX Runtime": onnxruntime_float,
    "ONNX Runtime int8": onnxruntime_int8,
}
