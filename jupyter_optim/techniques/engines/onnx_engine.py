"""ONNX Runtime as an engine: export, int8 forms, calls."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jupyter_optim.guard import weights_usable
from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.profiling.trace.annotate import op_range
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.engines.flat import FlatCall
from jupyter_optim.techniques.engines.program import program_of


def exported(call: FlatCall, tensors: list[torch.Tensor]) -> Any:
    """The graph of a call, an `onnx.ModelProto`, for any first dimension if the call bears that.

    Args:
        call: what is exported.
        tensors: its inputs.

    Raises:
        Exception: whatever the export raises.
    """
    with quiet(), weights_usable(call), torch.no_grad():
        made = torch.onnx.export(program_of(call, tensors), dynamo=True, verbose=False)
    assert made is not None  # without a file it always returns one
    return made.model_proto


def fits(graph: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an `onnx.ModelProto` takes tensors of these shapes."""

    def taken(given: Any, tensor: torch.Tensor) -> bool:
        sides = given.type.tensor_type.shape.dim
        return len(sides) == tensor.dim() and all(
            not side.HasField("dim_value") or side.dim_value == length
            for side, length in zip(sides, tensor.shape, strict=True)
        )

    return all(taken(*each) for each in zip(graph.graph.input, tensors, strict=True))


def quantized(
    graph: Any, samples: list[list[torch.Tensor]] | None = None, progress: Progress | None = None
) -> bytes:
    """An int8 form of a graph.

    Args:
        graph: an `onnx.ModelProto`, not changed.
        samples: inputs that activations get their scales from; None: each call finds its own.
        progress: asked between samples whether to stop.

    Raises:
        Cancelled: the user asked for that.
        Exception: whatever ONNX Runtime raises.
    """
    with quiet(), _root_log_kept_clean(), tempfile.TemporaryDirectory(prefix="jupyter-optim-") as folder:
        quantization = importlib.import_module("onnxruntime.quantization")
        shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
        plain, prepared, done = (Path(folder, name) for name in ("plain.onnx", "prepared.onnx", "done.onnx"))
        importlib.import_module("onnx").save(graph, plain)
        shapes.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        int8 = quantization.QuantType.QInt8
        # without VNNI, products are summed in 16 bits, and 8-bit weights would overflow them
        options = {"per_channel": True, "weight_type": int8, "reduce_range": not has_vnni()}
        if samples is not None:
            reader = _Samples([name.name for name in graph.graph.input], samples, progress or Progress())
            quantization.quantize_static(str(prepared), str(done), reader, activation_type=int8, **options)
        else:
            quantization.quantize_dynamic(str(prepared), str(done), **options)
        return done.read_bytes()


@contextmanager
def _root_log_kept_clean() -> Iterator[None]:
    """ONNX Runtime's quantization logs to the root logger; nothing of that gets through meanwhile."""

    def others(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname

    logging.root.addFilter(others)
    try:
        yield
    finally:
        logging.root.removeFilter(others)


class _Samples:
    """Inputs, as ONNX Runtime asks for them."""

    def __init__(self, names: list[str], samples: list[list[torch.Tensor]], progress: Progress) -> None:
        self._progress = progress
        self._left: Iterator[dict[str, np.ndarray[Any, Any]]] = (
            {name: tensor.detach().contiguous().numpy() for name, tensor in zip(names, sample, strict=True)}
            for sample in samples
        )

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        self._progress.check()
        return next(self._left, None)

    def __iter__(self) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        return self._left


class OnnxRuntimeEngine:
    """A session of ONNX Runtime on the CPU, at the thread count that the user has set.

    Args:
        graph: an `onnx.ModelProto`, or what that is in a file.
        progress: asked whether to stop.
    """

    label = "ONNX Runtime"
    device = torch.device("cpu")

    def __init__(self, graph: Any, progress: Progress) -> None:
        progress.check()
        runtime = importlib.import_module("onnxruntime")
        data = graph if isinstance(graph, bytes) else graph.SerializeToString()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        # else its threads spin for 50 ms behind each call, and what comes next has half of two cores
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]
        self.held_bytes = len(data)

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The answers to `tensors`."""
        given = {
            name: tensor.detach().contiguous().numpy()
            for name, tensor in zip(self._names, tensors, strict=True)
        }
        with op_range("onnxruntime::run", tensors):
            found = self._session.run(None, given)
        return [torch.from_numpy(each) for each in found]
