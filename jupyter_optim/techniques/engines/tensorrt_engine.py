"""TensorRT as an engine, by torch_tensorrt: types, build, calls.

Written for torch_tensorrt 2.11 to 2.14 by their sources, and not run on a GPU yet.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from typing import Any

import torch

from jupyter_optim import tree
from jupyter_optim.errors import OptimError
from jupyter_optim.guard import weights_usable
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.engines.flat import FlatCall, Frame
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.engines.program import program_of
from jupyter_optim.techniques.precision import cast_weights_

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
"""What a model may be in floating point. In float32 TensorRT multiplies in TF32, unless told otherwise."""

MOST = 4
"""Times that a batch may be as large as the one that an engine is made for: TensorRT sets memory aside for it."""


def torch_tensorrt() -> Any:
    """The module. Raises ImportError where it is not installed."""
    shows = warnings.showwarning
    with quiet():
        found = importlib.import_module("torch_tensorrt")
    if warnings.showwarning is not shows:
        # its import has all warnings logged from there on, where a notebook's user does not see them
        logging.captureWarnings(False)
    return found


class TypedCall(FlatCall):
    """A call whose floating point is of one type within: TensorRT keeps to the types that a graph has.

    torch_tensorrt's own `enable_autocast` casts the indices of an embedding, too.

    Args:
        call: what is called; its module is left as it is.
        dtype: of weights and arithmetic; inputs come, and outputs go, in their own.
    """

    def __init__(self, call: ForwardCall, dtype: torch.dtype) -> None:
        module = Draft(call.module).root
        cast_weights_(module, dtype)
        super().__init__(module, call.args, call.kwargs)
        self._dtype, self._outputs = dtype, Frame(call.outputs).dtypes

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of what the module returns."""
        given = [_as(self._dtype, each) if each.is_floating_point() else each for each in tensors]
        return tuple(map(_as, self._outputs, super().forward(*given)))


def _as(dtype: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


class TensorRtEngine:
    """A call, built by TensorRT for the GPU that its inputs are on; what TensorRT has not stays PyTorch's.

    Args:
        call: what is built.
        precision: one of `PRECISIONS`.
        dynamic_batch: whether for other first dimensions, too, if the model bears that.
        progress: asked whether to stop.

    Raises:
        OptimError: TensorRT takes nothing of it.
        Cancelled: the user asked for that.
        Exception: whatever the export or the build raises.
    """

    label = "TensorRT"

    def __init__(self, call: ForwardCall, precision: str, progress: Progress, *, dynamic_batch: bool) -> None:
        tensors = [tensor.contiguous() for tensor in call.tensors]
        self.device = tensors[0].device
        with quiet(), weights_usable(call.module), torch.no_grad(), torch.cuda.device_of(tensors[0]):
            typed = TypedCall(call, PRECISIONS[precision])
            program = program_of(typed, tensors, fixed=not dynamic_batch, most=MOST)
            progress.check()
            compile_ = torch_tensorrt().dynamo.compile
            self._module = compile_(program, inputs=tensors, device=self.device)
        # torch_tensorrt's names for the parts that TensorRT runs
        parts = [part for name, part in self._module.named_children() if "_run_on_acc" in name]
        if not parts:
            raise OptimError("TensorRT has none of its operations, or no more than a few of them in a row")
        self.held_bytes = sum(len(part.serialized_engine) for part in parts)

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The answers to `tensors`."""
        with torch.no_grad():
            return tree.tensors(self._module(*[tensor.detach().contiguous() for tensor in tensors]))
