"""Other libraries, used as their documentation says; each gives something to call, or raises."""

from __future__ import annotations

import copy
import importlib
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.engines.openvino_engine import openvino, without_telemetry

Inputs = dict[str, torch.Tensor] | tuple[torch.Tensor, ...]
Call = Callable[[], torch.Tensor]


def called(model: nn.Module, inputs: Inputs) -> Call:
    """A call of a PyTorch model."""

    def call() -> torch.Tensor:
        return first(model(**inputs) if isinstance(inputs, dict) else model(*inputs))

    return call


def first(outputs: Any) -> torch.Tensor:
    """The first tensor that a model returns."""
    found: torch.Tensor = outputs if isinstance(outputs, torch.Tensor) else next(iter(outputs.values()))
    return found


def bf16(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """PyTorch in bfloat16."""
    cast = [t.bfloat16() if t.is_floating_point() else t for t in _tensors(inputs)]
    given = dict(zip(inputs, cast, strict=True)) if isinstance(inputs, dict) else tuple(cast)
    return called(copy.deepcopy(model).bfloat16(), given)


def bf16_channels_last(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """The same, with images laid out channels last."""
    if not any(tensor.dim() == 4 for tensor in _tensors(inputs)):
        raise ValueError("no images")
    cast = tuple(t.bfloat16().contiguous(memory_format=torch.channels_last) for t in _tensors(inputs))
    return called(copy.deepcopy(model).bfloat16().to(memory_format=torch.channels_last), cast)


def dynamic_int8(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """torch.ao's quantize_dynamic."""
    with quiet():
        made = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear, nn.LSTM}, torch.qint8)
    return called(made, inputs)


def compiled(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """torch.compile."""
    with quiet():
        call = called(torch.compile(copy.deepcopy(model)), inputs)
        call()
    return call


def openvino_float(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """OpenVINO at the precision that it takes by itself, for fixed shapes."""
    return _on_openvino(_graph(model, inputs), inputs)


def openvino_int8(model: nn.Module, inputs: Inputs, *, transformer: bool) -> Call:
    """NNCF's post-training quantization on these inputs, on OpenVINO, for fixed shapes."""
    without_telemetry()
    with quiet():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        sample = tuple(tensor.numpy() for tensor in _tensors(inputs))
        kind = nncf.ModelType.TRANSFORMER if transformer else None
        graph = nncf.quantize(_graph(model, inputs), nncf.Dataset([sample]), subset_size=1, model_type=kind)
    return _on_openvino(graph, inputs)


def _graph(model: nn.Module, inputs: Inputs) -> Any:
    given = inputs if isinstance(inputs, dict) else tuple(inputs)
    with quiet():
        return openvino().convert_model(copy.deepcopy(model), example_input=given)


def _on_openvino(graph: Any, inputs: Inputs) -> Call:
    tensors = _tensors(inputs)
    graph.reshape({port: list(t.shape) for port, t in zip(graph.inputs, tensors, strict=True)})
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    request = openvino().Core().compile_model(graph, "CPU", settings).create_infer_request()

    def call() -> torch.Tensor:
        found = request.infer([t.numpy() for t in tensors], share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return call


def _tensors(inputs: Inputs) -> list[torch.Tensor]:
    return list(inputs.values()) if isinstance(inputs, dict) else list(inputs)


OTHERS: dict[str, Callable[..., Call]] = {
    "eager bf16": bf16,
    "eager bf16, channels last": bf16_channels_last,
    "torch.ao dynamic int8": dynamic_int8,
    "torch.compile": compiled,
    "OpenVINO": openvino_float,
    "NNCF int8 on OpenVINO": openvino_int8,
}
