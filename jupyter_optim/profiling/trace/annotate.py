"""Open a range in the trace for each module call, so that attribution is containment and nothing else."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import nn

from jupyter_optim.compiled_call import framed
from jupyter_optim.module_hooks import ModuleHooks
from jupyter_optim.profiling.trace.columns import MODULE_RANGE
from jupyter_optim.profiling.trace.steps import STEP
from jupyter_optim.workload import signature_text

# The fast range costs 0.4 us against 6.5 us of `record_function`; private, hence the fall-back.
_Range: Any = getattr(torch._C._profiler, "_RecordFunctionFast", torch.profiler.record_function)
_is_fast = _Range is not torch.profiler.record_function


def step_range(number: int) -> AbstractContextManager[Any]:
    """A range around one call of all that is measured, which others take for a step of the profiler's."""
    found: AbstractContextManager[Any] = _Range(f"{STEP}{number}")
    return found


def op_range(name: str, inputs: list[torch.Tensor]) -> AbstractContextManager[Any]:
    """What runs inside is an op in every profile: work that PyTorch does not see itself.

    Args:
        name: as ops are named: ``openvino::infer``.
        inputs: whose shapes are recorded.
    """
    found: AbstractContextManager[Any] = _Range(name, inputs) if _is_fast else _Range(name)
    return found


class LineTracer(Protocol):
    """What traces lines, and rests while hooks and libraries run."""

    within: nn.Module | None
    announced: Callable[[], bool]
    """Whether each call of a module is told, at its beginning and end, before other code runs there."""

    def hold(self, module: nn.Module) -> bool:
        """Trace nothing from here on; whether to say next that the module begins or ends."""

    def begins(self, module: nn.Module) -> None:
        """A module's own code is next."""

    def ends(self, module: nn.Module) -> None:
        """What called a module is next."""


class ModuleRanges:
    """While it is entered, each module call of this process is a range named by the module's number.

    Global hooks are used, not hooks on the modules: those would make `nn.TransformerEncoderLayer` leave its
    fast path, and would have to be taken off again. `modules[n]` is module number n.
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.inputs: dict[int, tuple[Any, ...]] = {}
        """By module number: shapes and types of the positional inputs of its first call."""
        self.on_open: Callable[[], None] | None = None
        """Called before a range is opened."""
        self._lines: LineTracer | None = None
        self._numbers: dict[int, int] = {}
        self._local = threading.local()
        self._hooks = ModuleHooks(self._open, self._close)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(None, None, None)
        # a KeyboardInterrupt skips the hooks that would have closed these
        for _, entered in reversed(getattr(self._local, "stack", [])):
            entered.__exit__(None, None, None)
        self._local = threading.local()

    def tell(self, lines: LineTracer | None) -> None:
        """Tell `lines` from now on where modules begin and end."""
        self._lines = lines
        if lines is not None:
            lines.announced = self._hooks.come_first

    @contextmanager
    def root(self, module: nn.Module) -> Iterator[None]:
        """A range around a call of `module`, where it is compiled so that it calls no global hooks."""
        compiled = getattr(module, "_compiled_call_impl", None)
        hooked = self._hooks.within_compiled and not framed(compiled)
        if isinstance(compiled, types.FunctionType | types.MethodType) and not hooked:
            self._open(module, ())
            try:
                yield
            finally:
                self._close(module, ())
        else:
            yield

    def _number(self, module: nn.Module, args: tuple[Any, ...]) -> int:
        number = self._numbers.get(id(module))
        if number is None:
            number = self._numbers[id(module)] = len(self.modules)
            self.modules.append(module)
            self.inputs[number] = tuple(_shape(value) for value in args)
        return number

    def _open(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling():
            return
        lines = self._lines
        traced = lines is not None and lines.within is None and lines.hold(module)
        if self.on_open is not None:
            self.on_open()
        entered = _Range(f"{MODULE_RANGE}{self._number(module, args)}")
        stack = self._local.__dict__.setdefault("stack", [])
        stack.append((id(module), entered))
        entered.__enter__()
        if traced and lines is not None:
            lines.begins(module)

    def _close(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        lines = self._lines
        traced = lines is not None and (lines.within is None or lines.within is module) and lines.hold(module)
        stack = getattr(self._local, "stack", [])
        if stack and stack[-1][0] == id(module):
            stack.pop()[1].__exit__(None, None, None)
        if traced and lines is not None:
            lines.ends(module)


class TensorShape:
    """What is kept of a layer's input: enough to make one like it."""

    __slots__ = ("device", "dtype", "shape", "strides")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.shape = tuple(tensor.shape)
        self.dtype = tensor.dtype
        self.device = tensor.device
        self.strides = tensor.stride() if tensor.layout == torch.strided and not tensor.is_nested else None

    def random(self) -> torch.Tensor:
        """A tensor of this shape and type, of random numbers, or of ones for integers."""
        if self.dtype.is_floating_point or self.dtype.is_complex:
            made = torch.randn(self.shape, dtype=self.dtype, device=self.device)
        else:
            made = torch.ones(self.shape, dtype=self.dtype, device=self.device)
        if self.strides is not None and made.dim() == 4 and not _contiguous(self.shape, self.strides):
            made = made.contiguous(memory_format=torch.channels_last)
        return made

    def __repr__(self) -> str:
        return f"{self.dtype}{self.shape}"


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _shape(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return None if value.is_nested else TensorShape(value)
    return signature_text((value,), {})
