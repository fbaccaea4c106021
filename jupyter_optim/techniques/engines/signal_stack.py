"""A thread's stack for signal handlers, which OpenVINO exchanges.

Its CPU plugin gives the thread that loads it such a stack, and frees that memory where it is unloaded: by another thread,
perhaps, or after a second plugin that keeps it in mind. The next signal that Python handles there (an interrupt, the end
of a DataLoader's worker) then ends the process. Seen with OpenVINO 2026.4; the plugin needs its stack only while it is
loaded, to be allowed the use of AMX.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLED = 2
"""`SS_DISABLE`: handlers run on the thread's own stack."""


class SignalStack(ctypes.Structure):
    """`stack_t` of Linux's <signal.h>."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """This thread has the same stack for signal handlers afterwards as before; does nothing but on Linux."""
    if sys.platform != "linux":
        yield
        return
    before = signal_stack()
    try:
        yield
    finally:
        # the kernel refuses a stack that has become too small for the processor's state: then there is none
        if signal_stack().address != before.address and not _set(before):
            _set(SignalStack(None, _DISABLED, 0))


def signal_stack() -> SignalStack:
    """That of this thread."""
    found = SignalStack()
    _libc().sigaltstack(None, ctypes.byref(found))
    return found


def _set(stack: SignalStack) -> bool:
    done: int = _libc().sigaltstack(ctypes.byref(stack), None)
    return done == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
