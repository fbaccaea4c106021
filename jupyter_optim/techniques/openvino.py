"""`openvino` and `openvino-int8`: the whole model on OpenVINO, behind the same object."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from jupyter_optim.errors import InvalidInputs
from jupyter_optim.techniques.engines.nncf_quantizer import quantized
from jupyter_optim.techniques.engines.on_engine import EngineTechnique, Form, Job
from jupyter_optim.techniques.engines.openvino_engine import (
    PRECISIONS,
    OpenVinoEngine,
    converted,
    fits,
    precisions,
    settings,
)
from jupyter_optim.techniques.engines.openvino_source import Int8, source
from jupyter_optim.techniques.engines.trial import tried
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Option

_ATTENTION_OPS = (
    "aten::scaled_dot_product_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::bmm",
)

_PRECISION = Option(
    "precision", "Floating point", "auto", choices=("auto", *PRECISIONS),
    help="What is in floating point: auto takes the faster one that answers alike. Without bfloat16 in the CPU, it is f32.",
)  # fmt: skip


class _OnOpenVino(EngineTechnique):
    """What the two have in common."""

    options = (_PRECISION,)

    def word_here(self, word: str) -> str:
        return "f32" if word == "bf16" and word not in precisions() else word


class OpenVino(_OnOpenVino):
    """Intel's inference engine: fused kernels for the whole graph, in bfloat16 where the CPU has it."""

    name = "openvino"
    label = "Run on OpenVINO"
    risk = "In bfloat16 answers differ in the third digit; inputs of a new shape are checked against PyTorch first."
    needs = ("openvino",)
    why = "The whole model as one graph of fused kernels, without PyTorch between them."

    def forms(self, job: Job) -> list[Form]:
        job.progress.report("Converting for OpenVINO", None)
        return _forms(_graph(job), job)

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts["word"])


class OpenVinoInt8(_OnOpenVino):
    """The same with int8 weights and activations, which NNCF calibrates on the user's inputs, or the workload's."""

    name = "openvino-int8"
    label = "Run on OpenVINO in int8"
    risk = (
        "8-bit weights and activations, scaled for the inputs that it was calibrated on: answers differ in the second "
        "or third digit."
    )
    needs = ("openvino", "nncf")
    calibrates = True
    computes = "int8 and the rest in {}"
    why = "The whole model as one graph of fused kernels, its products in 8-bit numbers."

    def forms(self, job: Job) -> list[Form]:
        job.progress.report("Converting for OpenVINO", None)
        model = _graph(job).clone()
        samples = [each for each in job.call.samples if fits(model, each)]
        if not samples:
            raise InvalidInputs(
                "no calibration input has the shape of the call, and this model's graph takes no other"
            )
        found = quantized(model, samples, job.progress, transformer=job.facts["transformer"])
        return _forms(found, job)

    def facts(self, subject: Subject) -> dict[str, Any]:
        return {"transformer": _has_attention(subject)}

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts["word"], Int8(facts["transformer"], facts["calibrated"]))


def _has_attention(subject: Subject) -> bool:
    return any(op.name in _ATTENTION_OPS for op in subject.report.ops)


def _graph(job: Job) -> Any:
    call = job.call
    return job.once(("openvino", call.path), lambda: converted(call.flat, call.tensors))


def _forms(model: Any, job: Job) -> list[Form]:
    asked = PRECISIONS if job.options["precision"] == "auto" else (job.options["precision"],)
    wanted = [each for each in asked if each in precisions()] or ["f32"]
    tensors, progress = job.call.tensors, job.progress
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return [
        Form(
            each, functools.partial(OpenVinoEngine, model, each, tensors, progress),
            functools.partial(tried, model, tensors, settings(each), shapes, progress),
        )
        for each in wanted
    ]  # fmt: skip
