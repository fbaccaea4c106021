"""`onnxruntime` and `onnxruntime-int8`: the whole model on ONNX Runtime, behind the same object."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from jupyter_optim.errors import InvalidInputs
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.engines.on_engine import EngineTechnique, Form, Job
from jupyter_optim.techniques.engines.onnx_engine import OnnxRuntimeEngine, exported, fits, quantized
from jupyter_optim.techniques.engines.onnx_source import source
from jupyter_optim.techniques.technique import Option


class OnnxRuntime(EngineTechnique):
    """The open-source engine for ONNX graphs: fused kernels, on any kind of CPU."""

    name = "onnxruntime"
    label = "Run on ONNX Runtime"
    risk = "None for the answers beyond rounding; inputs of a new shape are checked against PyTorch first."
    needs = ("onnx", "onnxscript", "onnxruntime")
    quick = False
    why = "The whole model as one graph of fused kernels, without PyTorch between them."

    def forms(self, job: Job) -> list[Form]:
        job.progress.report("Exporting for ONNX Runtime", None)
        return [Form("float32", functools.partial(OnnxRuntimeEngine, _graph(job), job.progress))]

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts["word"])


class OnnxRuntimeInt8(EngineTechnique):
    """The same with int8 weights and activations, by ONNX Runtime's own quantization."""

    name = "onnxruntime-int8"
    label = "Run on ONNX Runtime in int8"
    risk = "8-bit weights and activations: answers differ in the second or third digit."
    needs = ("onnx", "onnxscript", "onnxruntime")
    quick = False
    why = "The whole model as one graph of fused kernels, its products in 8-bit numbers."
    calibrates = True
    computes = "int8 with {} scales"
    options = (
        Option(
            "scales", "Scales of activations", "auto", choices=("auto", "dynamic", "static"),
            help="Found at each call, or fixed by the calibration inputs, or else this workload's; auto takes what is faster and near enough.",
        ),
    )  # fmt: skip

    def forms(self, job: Job) -> list[Form]:
        job.progress.report("Exporting for ONNX Runtime", None)
        graph, scales = _graph(job), job.options["scales"]
        wanted = ("dynamic", "static") if scales == "auto" else (scales,)
        return [
            Form(word, functools.partial(_engine, graph, job.call, word, job.progress)) for word in wanted
        ]

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts["word"], calibrated=facts["calibrated"])


def _graph(job: Job) -> Any:
    call = job.call
    return job.once(("onnx", call.path), lambda: exported(call.flat, call.tensors))


def _engine(graph: Any, call: ForwardCall, word: str, progress: Progress) -> OnnxRuntimeEngine:
    progress.report(f"Quantizing with {word} scales", None)
    if word == "dynamic":
        return OnnxRuntimeEngine(quantized(graph), progress)
    samples = [each for each in call.samples if fits(graph, each)]
    if not samples:
        raise InvalidInputs(
            "no calibration input has the shape of the call, and this model's graph takes no other"
        )
    return OnnxRuntimeEngine(quantized(graph, samples, progress), progress)
