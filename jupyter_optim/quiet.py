"""Keep libraries from writing into the cell."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TALKATIVE = (
    "torchao", "torchao.kernel.intmm", "torch.utils._pytree", "torch._dynamo", "torch._inductor", "torch.onnx", "onnxscript",
    "onnxscript.optimizer._constant_folding", "onnx_ir", "transformers.modeling_utils",
)  # fmt: skip
"""torchao's import logs "Failed to load ..." for GPU libraries and a deprecation of torch's; dynamo logs its limits; the
export to ONNX what it could not simplify; transformers' models that an attribute of theirs was read, which tracing does."""


_OTHERS = re.compile(r"(?!jupyter_optim)")
"""Modules whose warnings are dropped: those of our own are faults of ours."""


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
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with _ignored(("ignore", None, Warning, None, 0)):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


_ERRORS_ONLY = 2
"""As `TORCH_CPP_LOG_LEVEL=ERROR` has it."""


def core_quiet() -> Callable[[], None]:
    """Have torch's C++ core log errors only; returns how to have it as before.

    While memory is recorded, the core warns on stderr of each thousandth block that is older than the recording. It reads
    `TORCH_CPP_LOG_LEVEL` once, as it is loaded, which a notebook has mostly done by then: so its variable is set, where
    its library has it.
    """
    level = _core_log_level()
    if level is None or level.value >= _ERRORS_ONLY:
        return lambda: None
    before, level.value = level.value, _ERRORS_ONLY

    def restore() -> None:
        level.value = before

    return restore


def _core_log_level() -> ctypes.c_int | None:
    torch = sys.modules.get("torch")
    name = {"win32": "c10.dll", "darwin": "libc10.dylib"}.get(sys.platform, "libc10.so")
    path = Path(torch.__file__).parent / "lib" / name if torch is not None and torch.__file__ else None
    if path is None or not path.is_file():
        return None
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(str(path)), "FLAGS_caffe2_log_level")
    except (OSError, ValueError):  # a build of torch without it
        return None


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
