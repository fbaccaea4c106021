"""What stands for a module's `forward` while the module runs on an engine."""

from __future__ import annotations

import threading
import types
import warnings
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.quality import MaxDrop, fidelity, mismatch
from jupyter_optim.techniques.engines.flat import Frame, parted, without_shapes
from jupyter_optim.techniques.engines.recompute import Recomputed
from jupyter_optim.techniques.engines.watch import Watch

_TRUSTED_AFTER = 8
"""Kinds of input on which an engine answered like the original, after which others of their form are checked only
where it raises."""

_LOOSEST = 0.02
"""Loss of cosine similarity, on inputs of a new shape, at which an engine counts as wrong rather than less exact."""


class Engine(Protocol):
    """Something that computes what a module computes."""

    label: str
    """``OpenVINO``."""
    held_bytes: int
    """Bytes of the weights that it holds besides the module's own."""
    device: torch.device
    """Where its inputs and answers are."""

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The answers for dense tensors on `device`, in new memory."""


class StandIn:
    """Answers a module's calls by an engine, and by the module's own `forward` where the engine cannot.

    The module keeps its class, signature, `state_dict` and hooks. Its own `forward` answers, with one warning for each
    reason: in train mode; where an input wants gradients; once weights were changed, which the engine does not know.
    Inputs of a new shape are answered by both at first, and by the engine from then on if the two agree.

    Args:
        original: the module's `forward` as a function of the module and its inputs.
        engine: what answers.
        module: the module that it was made from, unchanged since.
        first: a call, as `key_of` has it, on which the engine's answers were compared with the module's.
        outputs: what the module returned then.
    """

    __name__ = (
        "forward"  # a pickled bound method is found by its name: a saved model comes back without the engine
    )

    def __init__(
        self, original: Callable[..., Any], engine: Engine, module: nn.Module, first: tuple[Hashable, ...], outputs: Any
    ) -> None:  # fmt: skip
        self.engine = engine
        self._original = original
        self._outputs = Frame(outputs)
        self._agreed: dict[tuple[Hashable, ...], bool] = {first: True}
        """By kind of input: whether the engine answered like the original."""
        self._made_from = Watch(module)
        self._watches = weakref.WeakKeyDictionary[nn.Module, Watch | None]()
        """What watches a module's weights; None once they are not those that the engine has."""
        self._warned = set[str]()
        self._lock = threading.RLock()

    @property
    def held_bytes(self) -> int:
        """Bytes that the engine holds besides the module's own weights."""
        return self.engine.held_bytes

    @property
    def engine_label(self) -> str:
        """The engine's name."""
        return self.engine.label

    def __call__(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """The module's answers to a call."""
        watched = torch._C._get_tracing_state() is not None or torch.compiler.is_compiling()
        found = None if watched else parted(args, kwargs, self.engine.device)
        if found is None:
            return self._original(module, *args, **kwargs)
        key, tensors = found
        agreed = self._agreed.get(key)
        watch = None if agreed is False or self._declined(module, tensors) else self._watch(module)
        if watch is None:
            return self._original(module, *args, **kwargs)
        if not agreed and not self._trusted(key):
            return self._verify(module, key, args, kwargs)
        try:
            return self._answers(module, watch, tensors, args, kwargs)
        except Exception:
            if agreed:
                raise
            return self._verify(module, key, args, kwargs)

    def _answers(
        self, module: nn.Module, watch: Watch, tensors: list[torch.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # fmt: skip
        """The engine's answers, which a backward pass may start from."""
        weights = [each for each in watch.tensors if each.requires_grad] if torch.is_grad_enabled() else []
        if not weights:
            return self._outputs.filled(self._run(tensors))
        answers = Recomputed.apply(  # type: ignore[no-untyped-call]
            lambda: self._run(tensors), lambda: self._original(module, *args, **kwargs), *weights
        )
        return self._outputs.filled(list(answers))

    def _run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        with self._lock:
            found = self.engine.run(tensors)
        dtypes = self._outputs.dtypes
        return [
            each if each.dtype == dtype else each.to(dtype) for each, dtype in zip(found, dtypes, strict=True)
        ]

    def _declined(self, module: nn.Module, tensors: list[torch.Tensor]) -> bool:
        """Whether this is a call for the module's own `forward`; says so once."""
        if module.training:
            self._warn("train mode", "the model is in train mode")
        elif torch.is_grad_enabled() and any(each.requires_grad for each in tensors):
            self._warn("gradients", "an input wants gradients, which it does not compute")
        else:
            return False
        return True

    def _watch(self, module: nn.Module) -> Watch | None:
        """What watches the module's weights; None if they are not those that the engine has, which it says once."""
        try:
            watch = self._watches[module]
        except KeyError:
            # put into the live model, or copied with it
            watch = self._watches[module] = Watch(module)
            same = self._made_from.unwritten() and watch.same_contents(self._made_from.tensors)
        else:
            same = watch is not None and watch.unchanged()
        if same:
            return watch
        self._watches[module] = None
        self._warn("weights", "weights were changed, and it has the old ones: undo, and apply it again")
        return None

    def _trusted(self, key: tuple[Hashable, ...]) -> bool:
        """Whether the engine was right on enough inputs that differ from these in their shapes alone."""
        form = without_shapes(key)
        right = (without_shapes(each) == form for each, agreed in self._agreed.items() if agreed)
        return sum(right) >= _TRUSTED_AFTER

    def _verify(
        self, module: nn.Module, key: tuple[Hashable, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The original's answers to inputs of a new kind, after which the engine is trusted with it, or never."""
        expected = self._original(module, *args, **kwargs)
        self._agreed[key] = self._agrees(expected, tree.tensors((args, kwargs)))
        if not self._agreed[key]:
            self._warn("form", "it does not answer as the model does to inputs of this form")
        return expected

    def _agrees(self, expected: Any, tensors: list[torch.Tensor]) -> bool:
        try:
            found = self._outputs.filled(self._run(tensors))
        except Exception:  # noqa: BLE001 (an engine may raise anything for a shape that it was not made for)
            return False
        return mismatch(expected, found) is None and fidelity(expected, found, MaxDrop(1)).drop <= _LOOSEST

    def _warn(self, what: str, reason: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            text = f"{self.engine.label} is not used: {reason}. PyTorch answers instead."
            warnings.warn(text, UserWarning, stacklevel=6)


def stand_in_(module: nn.Module, stand_in: StandIn) -> None:
    """Let `stand_in` answer the calls of `module`."""
    module.__dict__["forward"] = types.MethodType(stand_in, module)


def stand_in_of(module: nn.Module) -> StandIn | None:
    """What answers the calls of `module` in its place, if anything does."""
    found = getattr(module.__dict__.get("forward"), "__func__", None)
    return found if isinstance(found, StandIn) else None
