"""CPU time of the Python threads beside the one that is measured."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator

from jupyter_optim.hardware.spent import Spent
from jupyter_optim.report import Worker

_OURS = "jupyter-optim"
_NOT_STARTED_BY_PYTHON = "Dummy-"
_THREAD_CLOCK = 0b110


class OtherThreads:
    """Watches all Python threads but the one that made it, and our own.

    Threads that torch starts itself are not among them: what they do is in the ops that they work for.
    """

    def __init__(self) -> None:
        self._measured = threading.get_native_id()
        self._spent = Spent()
        self.reason: str | None = None
        """Why nothing is known, if so."""
        if _cpu_s(self._measured) is None:
            self.reason = "this system does not tell the CPU time of other threads"

    def look(self) -> None:
        """See who is there, and what each has taken."""
        if self.reason is None:
            self._spent.look(self._times())

    def _times(self) -> Iterator[tuple[int, str, float]]:
        for thread in threading.enumerate():
            number = thread.native_id
            if number is None or number == self._measured:
                continue
            if thread.name.startswith((_OURS, _NOT_STARTED_BY_PYTHON)):
                continue
            cpu_s = _cpu_s(number)
            if cpu_s is not None:
                yield number, _name(thread), cpu_s

    def workers(self) -> tuple[Worker, ...]:
        """Those that took time from the first look to the last."""
        return self._spent.workers(process=False)


def _cpu_s(number: int) -> float | None:
    """CPU time of the thread with this native id; None if it has ended, or the system does not tell.

    Linux forms the clock's number from the thread's, as pthread_getcpuclockid does; but that function reads the
    memory of the thread, and crashes if it has just ended.
    """
    if sys.platform != "linux":
        return None
    try:
        return time.clock_gettime(~number << 3 | _THREAD_CLOCK)
    except OSError:
        return None


def _name(thread: threading.Thread) -> str:
    """The thread's name; where Python has numbered it, what its kind has in common."""
    numbered = re.fullmatch(r"Thread-\d+(?: \((.+)\))?", thread.name)
    if numbered is not None:
        return numbered[1] or type(thread).__name__
    pooled = re.fullmatch(r"(ThreadPoolExecutor-\d+)_\d+", thread.name)
    return pooled[1] if pooled is not None else thread.name
