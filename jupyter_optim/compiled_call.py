"""`torch.compile` of a module in place, as `torch.nn.Module.compile` does it, for every module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree

GRAPHS = "reduce-overhead"
"""The mode in which a GPU's kernels are recorded once, and replayed as one CUDA graph at each call."""


def compiled_call(module: nn.Module, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """What stands for the module's call once it is compiled; that happens at the first call.

    Args:
        module: what is compiled.
        arguments: those of `torch.compile`.
    """
    call = _framed(module) if needs_frame(module) else module._call_impl  # as nn.Module.compile
    compiled: Callable[..., Any] = torch.compile(call, **arguments)
    return _with_lasting_outputs(compiled) if arguments.get("mode") == GRAPHS else compiled


def needs_frame(module: nn.Module) -> bool:
    """Whether `module.compile()` would compile nothing.

    Dynamo looks at no frame of torch's own files, so not at the forward of `nn.Sequential`.
    """
    return type(module).forward.__module__.startswith("torch.")


def framed(compiled: object) -> bool:
    """Whether a compiled call has a frame of ours around it: then the module's hooks are compiled with it."""
    return getattr(getattr(compiled, "_torchdynamo_orig_callable", None), "__module__", None) == __name__


def frame_of(module: nn.Module) -> tuple[str, int] | None:
    """File and first line of that frame, as the compiler's log has them; None for a module that has none."""
    compiled = getattr(module, "_compiled_call_impl", None)
    if not framed(compiled):
        return None
    code = compiled._torchdynamo_orig_callable.__code__  # type: ignore[union-attr]  # noqa: SLF001 (`framed` has looked)
    return code.co_filename, code.co_firstlineno


def _with_lasting_outputs(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, whose outputs are the caller's.

    A CUDA graph writes them to the same memory at each call: whoever keeps one beyond the next call has it taken away.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return tree.map_tensors(compiled(*args, **kwargs), _own)

    call._torchdynamo_orig_callable = compiled._torchdynamo_orig_callable  # type: ignore[attr-defined]  # noqa: SLF001 (what `framed` asks for)
    return call


def _own(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.is_cuda else tensor


def _framed(module: nn.Module) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return module._call_impl(*args, **kwargs)

    return call
