"""Keep libraries from writing into the cell."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("torchao", "torch.utils._pytree", "torch._dynamo", "torch._inductor")
"""torchao's import logs "Failed to load ..." for GPU libraries and a deprecation of torch's; dynamo logs its limits."""


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
