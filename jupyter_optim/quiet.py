"""Keep libraries from writing into the cell."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = (
    "torchao", "torchao.kernel.intmm", "torch.utils._pytree", "torch._dynamo", "torch._inductor", "torch.onnx", "onnxscript",
    "onnxscript.optimizer._constant_folding", "onnx_ir",
)  # fmt: skip
"""torchao's import logs "Failed to load ..." for GPU libraries and a deprecation of torch's; dynamo logs its limits; the
export to ONNX what it could not simplify."""


@contextmanager
def hooks_allowed() -> Iterator[None]:
    """Global module hooks are in place meanwhile, and torch does not warn compiled models of them.

    It says that they fire once more than for other models; ours take care of that.
    """
    ignored = (
        "ignore",
        re.compile(r"Using `torch\.compile\(module\)` when there are global hooks"),
        UserWarning,
        None,
        0,
    )
    warnings.filters.insert(0, ignored)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        # the cell may have changed the filters meanwhile: take out this one alone
        if ignored in warnings.filters:
            warnings.filters.remove(ignored)  # type: ignore[attr-defined]


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings and logs of torch's compilers and of torchao are dropped meanwhile; errors still come through."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
