"""Calls of a model that OpenVINO has compiled: what is large is read where it lies, and written where it stays."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import torch

from jupyter_optim.profiling.trace.annotate import op_range

_SMALL = 64 * 1024
"""Bytes up to which an input or output is copied. Where OpenVINO was handed other memory for each, a call of 16 x 32 Linears
took 87 us, and 41 us where both were copied; to copy as much as this takes 5 us."""

_KEPT = 2
"""Pieces of memory that are kept for each output. Two: who puts the answers of the next call into the same name holds
those of the last one until then."""


class Request:
    """An `openvino.CompiledModel`, called by one thread at a time.

    To give the inputs to OpenVINO's own `InferRequest.infer` took 0.3 ms more of a call of 2 ms (BERT of 6 layers, 32 tokens);
    to start it and wait for it, which hands it to a thread of OpenVINO's, 0.13 ms more of one of 0.02 ms.
    """

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = range(len(compiled.outputs))
        self._tensor = importlib.import_module("openvino").Tensor
        fixed = all(not port.partial_shape.is_dynamic for port in [*compiled.inputs, *compiled.outputs])
        inputs, outputs = (enumerate(ports if fixed else []) for ports in (compiled.inputs, compiled.outputs))
        self._small_inputs = {
            index: self._request.get_input_tensor(index).data
            for index, port in inputs
            if _bytes(port) <= _SMALL
        }
        self._large_outputs = {index: _Memory(port) for index, port in outputs if _bytes(port) > _SMALL}

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The answers to dense CPU tensors, in memory that no later call writes to while somebody has it."""
        request = self._request
        # in a local name until the call is over: OpenVINO holds no reference to their memory
        given = [each.detach().contiguous().numpy() for each in tensors]
        for index, array in enumerate(given):
            small = self._small_inputs.get(index)
            if small is None:
                request.set_input_tensor(index, self._tensor(array, shared_memory=bool(array.shape)))
            else:
                np.copyto(small, array, casting="equiv")
        large = {index: memory.unused() for index, memory in self._large_outputs.items()}
        for index, each in large.items():
            request.set_output_tensor(index, each)
        with op_range("openvino::infer", tensors):
            request.infer(share_outputs=True, decode_strings=False)
        return [self._answer(index, large.get(index)) for index in self._outputs]

    def _answer(self, index: int, large: Any) -> torch.Tensor:
        if large is not None:
            return torch.from_numpy(large.data)
        # `output_tensors` takes 30 us more
        return torch.from_numpy(self._request.get_output_tensor(index).data.copy())


def _bytes(port: Any) -> int:
    return int(port.get_element_type().size * np.prod(port.shape))


class _Memory:
    """Where one of the outputs is written to."""

    def __init__(self, port: Any) -> None:
        self._type, self._shape = port.get_element_type(), port.shape
        self._kept: list[Any] = []

    def unused(self) -> Any:
        """An `openvino.Tensor` that nobody reads: each array or tensor of its memory holds a reference to it."""
        for each in self._kept:
            if sys.getrefcount(each) == _UNUSED:
                return each
        made = importlib.import_module("openvino").Tensor(self._type, self._shape)
        self._kept = [*self._kept[1 - _KEPT :], made]
        return made


def _references_of_a_kept_one() -> int:
    """What `sys.getrefcount` says in `_Memory.unused` of an object that is in its list only."""
    kept = [object()]
    for each in kept:
        return sys.getrefcount(each)
    raise AssertionError


_UNUSED = _references_of_a_kept_one()
