"""The log of PyTorch's C++ parts, which goes to stderr and so into the cell."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

_ERROR = 2
_LIBRARIES = ("libc10.so", "libc10.dylib", "c10.dll")


@contextmanager
def warnings_held_back() -> Iterator[None]:
    """Only errors are logged meanwhile.

    While memory is recorded, PyTorch would warn at the first tensor from before that is freed, as
    ``x = model(x)`` does (c10/core/CPUAllocator.cpp); the recording begins with a model in memory, so that is usual.
    """
    level = _level()
    before = None if level is None else level.value
    if level is not None:
        level.value = max(_ERROR, level.value)
    try:
        yield
    finally:
        if level is not None and before is not None:
            level.value = before


@cache
def _level() -> ctypes.c_int | None:
    """c10's own setting; there is no call to change it once torch is loaded. None where a build does not have it."""
    folder = Path(torch.__file__).parent / "lib"
    library = next((folder / name for name in _LIBRARIES if (folder / name).exists()), None)
    if library is None:
        return None
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "FLAGS_caffe2_log_level")
    except (OSError, ValueError):
        return None
