"""Keep libraries from writing into the cell."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TALKATIVE = (
    "torchao", "torchao.kernel.intmm", "torch.utils._pytree", "torch._dynamo", "torch._inductor", "torch.onnx", "onnxscript",
    "onnxscript.optimizer._constant_folding", "onnx_ir", "torch_tensorrt", "torch_tensorrt [TensorRT Conversion Context]",
    "transformers.modeling_utils",
)  # fmt: skip
"""torchao's import logs "Failed to load ..." for GPU libraries and a deprecation of torch's; dynamo logs its limits; the
export to ONNX what it could not simplify; torch_tensorrt each step; transformers' models that an attribute of theirs was
read, which tracing does."""


_OTHERS = re.compile(r"(?!jupyter_optim)")
"""Modules whose warnings are dropped: those of our own are faults of ours."""


class _Hushed:
    """While anybody is in it, in whichever thread, the loggers pass on errors only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._levels: dict[str, int] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                for name in _TALKATIVE:
                    logger = logging.getLogger(name)
                    self._levels[name] = logger.level
                    logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                for name, level in self._levels.items():
                    logging.getLogger(name).setLevel(level)


_hushed = _Hushed()


@contextmanager
def hooks_allowed() -> Iterator[None]:
    """Global module hooks are in place meanwhile, and torch does not warn compiled models of them.

    It says that they fire once more than for other models; ours take care of that.
    """
    said = re.compile(r"Using `torch\.compile\(module\)` when there are global hooks")
    with _ignored(("ignore", said, UserWarning, None, 0)):
        yield


@contextmanager
def libraries_quiet() -> Iterator[None]:
    """Warnings are dropped meanwhile, but for those of our own modules; what is said of a changed model, say."""
    with _ignored(("ignore", None, Warning, _OTHERS, 0)):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings, and logs of torch's compilers and of torchao, are dropped meanwhile; errors still come through."""
    with _hushed, _ignored(("ignore", None, Warning, None, 0)):
        yield


@contextmanager
def _ignored(
    these: tuple[str, re.Pattern[str] | None, type[Warning], re.Pattern[str] | None, int],
) -> Iterator[None]:
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    filters.insert(0, these)
    try:
        yield
    finally:
        # the cell may have changed the filters meanwhile: take out this one alone
        if these in warnings.filters:
            warnings.filters.remove(these)  # type: ignore[attr-defined]
