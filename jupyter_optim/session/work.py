"""One piece of work at a time in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jupyter_optim.errors import Busy


class Lock:
    """One piece of work at a time in this process: timings would disturb each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.what: str | None = None

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise Busy(f"busy with {self.what or 'other work'}: wait for it, or cancel it")
        self.what = what
        try:
            yield
        finally:
            self.what = None
            self._lock.release()


WORK = Lock()
