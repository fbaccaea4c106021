"""OpenVINO as an engine: conversion, compilation, calls."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import torch

from jupyter_optim.errors import OptimError
from jupyter_optim.guard import weights_usable
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.engines.flat import FlatCall
from jupyter_optim.techniques.engines.openvino_request import Request
from jupyter_optim.techniques.engines.program import program_of
from jupyter_optim.techniques.engines.signal_stack import signal_stack_kept
from jupyter_optim.techniques.engines.trial import tried

PRECISIONS = ("bf16", "f32")
"""How OpenVINO computes what is in floating point."""

_SNIPPETS = "DISABLE"
"""OpenVINO 2026.4 crashes the process where it fuses two Linears and a `masked_fill` of fixed shapes; without this
fusion a BERT was as fast within noise, in bfloat16 and in int8."""


def without_telemetry() -> None:
    """OpenVINO and NNCF, imported from here on, find no `openvino_telemetry`: they would send word of each use."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def openvino() -> Any:
    """The module, which sends no word of its use. Raises ImportError where it is not installed."""
    without_telemetry()
    with quiet():
        importlib.import_module("openvino.tools.ovc")
        return importlib.import_module("openvino")


@functools.cache
def precisions() -> tuple[str, ...]:
    """Those of `PRECISIONS` that this CPU computes in: where it has no bfloat16, OpenVINO takes float32 for it."""
    able = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(each for each in PRECISIONS if each != "bf16" or "BF16" in able)


def converted(call: FlatCall, tensors: list[torch.Tensor]) -> Any:
    """The graph of a call, an `openvino.Model` whose dimensions are left open.

    Args:
        call: what is traced.
        tensors: its inputs.

    Raises:
        OptimError: OpenVINO makes something else of it.
        Exception: whatever tracing or the conversion raises.
    """
    with quiet(), weights_usable(call), torch.no_grad():
        try:
            model = openvino().convert_model(call, example_input=tuple(tensors))
        except Exception as error:  # noqa: BLE001 (raised again unless the other way is open)
            model = _exported(call, tensors, error)
    if len(model.inputs) != len(tensors):
        raise OptimError(
            f"OpenVINO found {len(model.inputs)} inputs where the call has {len(tensors)} tensors: some are not used"
        )
    return model


def _exported(call: FlatCall, tensors: list[torch.Tensor], usual: Exception) -> Any:
    """The graph by way of `torch.export`, which spells some ops in simpler ones (a loss, say); else raises `usual`."""
    try:
        return openvino().convert_model(program_of(call, tensors, fixed=True))
    except Exception:  # noqa: BLE001 (what kept the usual way from working is what to tell)
        raise usual from None


def fits(model: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an `openvino.Model` takes tensors of these shapes."""
    shape = openvino().PartialShape
    pairs = zip(model.inputs, tensors, strict=True)
    return all(port.partial_shape.compatible(shape(list(tensor.shape))) for port, tensor in pairs)


def settings(precision: str) -> dict[str, Any]:
    """What a model is compiled with: the thread count is the user's.

    Args:
        precision: one of `PRECISIONS`.
    """
    return {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision, "SNIPPETS_MODE": _SNIPPETS,
    }  # fmt: skip


class OpenVinoEngine:
    """A converted model, compiled for the shapes that it was made for, and once more for all others.

    Args:
        model: an `openvino.Model`.
        precision: one of `PRECISIONS`.
        tensors: inputs like those that it is made for.
        progress: asked whether to stop.

    Raises:
        OptimError: OpenVINO cannot run it.
        Cancelled: the user asked for that.
    """

    label = "OpenVINO"
    device = torch.device("cpu")

    def __init__(self, model: Any, precision: str, tensors: list[torch.Tensor], progress: Progress) -> None:
        self._model, self._settings = model, settings(precision)
        self._shapes = [tuple(tensor.shape) for tensor in tensors]
        self._usual = self._request(tensors, self._shapes, progress)
        self._other: Request | None = None
        self.held_bytes = constant_bytes(model)

    def _request(
        self, tensors: list[torch.Tensor], shapes: list[tuple[int, ...]] | None, progress: Progress
    ) -> Request:
        tried(self._model, tensors, self._settings, shapes, progress)
        model = self._model
        if shapes is not None:
            model = model.clone()
            model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
        with signal_stack_kept():
            return Request(openvino().Core().compile_model(model, "CPU", self._settings))

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The answers to `tensors`."""
        if [tuple(tensor.shape) for tensor in tensors] == self._shapes:
            return self._usual.run(tensors)
        if self._other is None:
            self._other = self._request(tensors, None, Progress())
        return self._other.run(tensors)


def constant_bytes(model: Any) -> int:
    """Bytes of the constants in a graph: its weights."""
    return sum(int(node.data.nbytes) for node in model.get_ops() if node.get_type_name() == "Constant")
