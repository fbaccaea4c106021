"""Find the model that running code calls, and how it calls it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import NoModelCalled
from jupyter_optim.guard import versions
from jupyter_optim.module_hooks import ModuleHooks
from jupyter_optim.report import Origin, OtherModel, Signature
from jupyter_optim.workload import CallMode, Workload, signature_text

_SIGNATURES = 64
"""Inputs of so many kinds are kept apart: a model that is given a step's number has a new one at each call."""

_CHECKED_CALLS = 16
"""A model that writes to its own parameters does so in its first calls already."""

MEMORY_CAP_BYTES = 512 * 2**20
"""Inputs are copied up to this many bytes in all; beyond it they are kept by reference and checked."""

_OTHERS = 10
_LOSSES = ("torch.nn.modules.loss",)


@dataclass(slots=True)
class _Kept:
    """The inputs of one signature, and how often it came."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    mode: CallMode
    stamps: list[tuple[torch.Tensor, int]]
    """Inputs kept by reference, with their write counters."""
    text: str = ""
    calls: int = 0
    total_ms: float = 0.0

    def overwritten(self) -> bool:
        return any(tensor._version != version for tensor, version in self.stamps)


@dataclass(slots=True)
class Root:
    """One root module that was called: not from within another module's call."""

    model: nn.Module
    times_ms: list[float] = field(default_factory=list)
    kept: dict[tuple[Hashable, Hashable], _Kept] = field(default_factory=dict)
    """By the keys of positional and of keyword inputs."""
    seen: set[Hashable] = field(default_factory=set)
    """Keys of positional inputs that came before."""
    other_calls: int = 0
    other_ms: float = 0.0
    """Of calls whose signature came when enough were kept already."""
    writes_parameters: bool = False
    weights: tuple[int, ...] = ()
    """What `versions` said before the first call."""

    @property
    def total_ms(self) -> float:
        return sum(self.times_ms)


class Capture:
    """While it is entered, notes each root call of a `torch.nn.Module` in this process.

    ``with Capture() as capture: run()``, then ``capture.workload()``. Calls in several threads are told
    apart. `on_call` is called after each root call, in the thread that made it.
    """

    def __init__(self, *, on_call: Callable[[Root], None] | None = None) -> None:
        self.roots: dict[int, Root] = {}
        self.run_ms: float | None = None
        self._on_call = on_call
        self._copied_bytes = 0
        self._local = threading.local()
        self._hooks = ModuleHooks(self._before, self._after)
        self._started = 0.0

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run_ms = (time.perf_counter() - self._started) * 1e3
        self._hooks.__exit__(None, None, None)

    @property
    def calling(self) -> bool:
        """Whether this thread is within a module's call."""
        return getattr(self._local, "depth", 0) > 0

    def workload(
        self, model: nn.Module | None = None, *, origin: Origin = "cell", expression: str | None = None
    ) -> Workload:
        """The workload that was seen: of `model`, or of the root that took the most time.

        Raises:
            NoModelCalled: no module was called, or not this one.
        """
        root = self._root(model)
        kept = max(root.kept.values(), key=lambda each: each.total_ms)
        signatures = [
            Signature(text=each.text, calls=each.calls, total_ms=each.total_ms, measured=each is kept)
            for each in sorted(root.kept.values(), key=lambda each: -each.total_ms)
        ]
        if root.other_calls:
            signatures.append(
                Signature(text="others", calls=root.other_calls, total_ms=root.other_ms, measured=False)
            )
        obstacle = None
        if kept.overwritten():
            obstacle = "its inputs were overwritten after the call, and were too large to copy"
        return Workload(
            model=root.model, args=kept.args, kwargs=kept.kwargs, mode=kept.mode, origin=origin,
            signatures=tuple(signatures), calls=len(root.times_ms), cell_ms=self.run_ms, call_ms=tuple(root.times_ms),
            expression=expression, obstacle=obstacle,
            writes_parameters=root.writes_parameters, others=self._others(root), trains=_trains(root),
        )  # fmt: skip

    def copies(self) -> list[torch.Tensor]:
        """The tensors that were copied to call the models again: memory of ours, not of the user's."""
        found: list[torch.Tensor] = []
        for kept in (each for root in self.roots.values() for each in root.kept.values()):
            theirs = {id(tensor) for tensor, _ in kept.stamps}
            inputs = tree.tensors((kept.args, kept.kwargs))
            found += [t for t in inputs if id(t) not in theirs and not isinstance(t, nn.Parameter)]
        return found

    def _root(self, model: nn.Module | None) -> Root:
        if model is not None:
            if id(model) in self.roots:
                return self.roots[id(model)]
            raise NoModelCalled(
                f"{type(model).__name__} was not called here, at least not from outside another module. "
                + self._seen()
            )
        if not self.roots:
            raise NoModelCalled("No torch.nn.Module was called here.")
        # a loss is a module too, but nobody means it while there is another
        candidates = [root for root in self.roots.values() if type(root.model).__module__ not in _LOSSES]
        return max(candidates or self.roots.values(), key=lambda root: root.total_ms)

    def _others(self, chosen: Root) -> tuple[OtherModel, ...]:
        found = [
            OtherModel(model=type(root.model).__name__, calls=len(root.times_ms), total_ms=root.total_ms)
            for root in self.roots.values()
            if root is not chosen and type(root.model).__module__ not in _LOSSES
        ]
        return tuple(sorted(found, key=lambda each: -each.total_ms)[:_OTHERS])

    def _seen(self) -> str:
        names = sorted({type(root.model).__name__ for root in self.roots.values()})
        return f"Called were: {', '.join(names)}." if names else "No torch.nn.Module was."

    # The hooks run for every module call of the process, so they do next to nothing below the root.

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling():
            return
        local = self._local
        depth = getattr(local, "depth", 0)
        local.depth = depth + 1
        if depth == 0:
            root = self.roots.get(id(module))
            local.key = _key(args)
            local.pending = None
            if root is None or (local.key not in root.seen and len(root.kept) < _SIGNATURES):
                # before the forward can write to them; keyword inputs are not given to global pre-hooks
                local.pending = self._keep(module, args)
            checked = root is None or len(root.times_ms) < _CHECKED_CALLS
            local.weights = versions(module) if checked else None
            local.began = time.perf_counter()

    def _after(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        if torch.compiler.is_compiling():
            return
        # a call that raised is told without its keyword inputs, whatever was asked for at registration
        raised = len(rest) < 2
        kwargs: dict[str, Any] = {} if raised else rest[0]
        local = self._local
        depth = getattr(local, "depth", 0)
        if depth == 0:
            return  # this call began before the capture did
        local.depth = depth - 1
        if depth == 1 and not raised:
            elapsed_ms = (time.perf_counter() - local.began) * 1e3
            root = self.roots.setdefault(id(module), Root(module, weights=local.weights or ()))
            root.times_ms.append(elapsed_ms)
            if local.weights is not None:
                root.writes_parameters |= versions(module) != local.weights
            self._note(root, local.key, args, kwargs, elapsed_ms)
            if self._on_call is not None:
                self._on_call(root)

    def _keep(self, module: nn.Module, args: tuple[Any, ...]) -> _Kept:
        copied, stamps = self._copy(args)
        return _Kept(copied, {}, CallMode.now(module), stamps)

    def _note(
        self, root: Root, args_key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any], elapsed_ms: float
    ) -> None:  # fmt: skip
        key = (args_key, _key(kwargs))
        kept = root.kept.get(key)
        if kept is None:
            if len(root.kept) >= _SIGNATURES:
                root.other_calls += 1
                root.other_ms += elapsed_ms
                return
            kept = self._local.pending or self._keep(root.model, args)
            root.seen.add(args_key)
            kept.kwargs, stamps = self._copy(kwargs)
            kept.stamps += stamps
            kept.text = signature_text(args, kwargs)
            root.kept[key] = kept
        kept.calls += 1
        kept.total_ms += elapsed_ms

    def _copy(self, inputs: Any) -> tuple[Any, list[tuple[torch.Tensor, int]]]:
        """`inputs` copied, or as they are with their write counters once the memory cap is reached."""
        found = [t for t in tree.tensors(inputs) if not isinstance(t, nn.Parameter)]
        size = sum(t.numel() * t.element_size() for t in found if not t.is_nested)
        if self._copied_bytes + size > MEMORY_CAP_BYTES:
            return inputs, [(t, t._version) for t in found if not t.is_inference()]
        self._copied_bytes += size
        return tree.clone(inputs), []


def _key(inputs: tuple[Any, ...] | dict[str, Any]) -> Hashable:
    """Equal for inputs of equal shapes, types and structure: quick for what most models are given."""
    parts: list[Hashable] = []
    for name, value in inputs.items() if isinstance(inputs, dict) else enumerate(inputs):
        if type(value) is torch.Tensor and not value.is_nested:
            parts.append((name, value.shape, value.dtype))
        elif value is None or isinstance(value, bool):
            parts.append((name, value))
        else:
            parts.append((name, signature_text((value,), {})))
    return tuple(parts)


def _trains(root: Root) -> bool:
    """Whether the run changed the weights, or left gradients."""
    changed = bool(root.weights) and versions(root.model) != root.weights
    return changed or any(parameter.grad is not None for parameter in root.model.parameters())
