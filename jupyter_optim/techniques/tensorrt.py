"""`tensorrt`: the whole model on TensorRT, behind the same object."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

from jupyter_optim.techniques.engines.on_engine import EngineTechnique, Form, Job
from jupyter_optim.techniques.engines.tensorrt_engine import MOST, PRECISIONS, TensorRtEngine
from jupyter_optim.techniques.engines.tensorrt_source import source
from jupyter_optim.techniques.technique import Option


class TensorRt(EngineTechnique):
    """NVIDIA's inference engine: kernels fused for the whole graph, and chosen by timing them on this GPU."""

    name = "tensorrt"
    label = "Run on TensorRT"
    risk = (
        "In float16 answers differ in the third or fourth digit, and values above 65,504 overflow; inputs of a new "
        "shape are checked against PyTorch first."
    )
    needs = ("torch_tensorrt",)
    extra = "tensorrt"
    device = "cuda"
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    quick = False
    takes = "seconds to minutes"
    why = "The whole model as one graph of fused kernels, without PyTorch between them."
    options = (
        Option(
            "precision", "Floating point", "float16", choices=tuple(PRECISIONS),
            help="What is in floating point; float32 is multiplied in TF32.",
        ),
        Option(
            "dynamic_batch", "Any batch size", True,
            help=f"For batches up to {MOST} times this one; otherwise for this one's shapes alone, which may be faster.",
        ),
    )  # fmt: skip

    def forms(self, job: Job) -> list[Form]:
        precision, dynamic = job.options["precision"], job.options["dynamic_batch"]
        job.progress.report(f"Building for TensorRT in {precision}: up to minutes", None)
        make = functools.partial(TensorRtEngine, job.call, precision, job.progress, dynamic_batch=dynamic)
        return [Form(precision, make)]

    def source(self, options: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        return source(facts["word"], dynamic_batch=options["dynamic_batch"])
