"""Who else takes CPU time while a thread is profiled: other Python threads, and processes that were started.

PyTorch's profiler records the thread that it was started in. What a DataLoader's workers and a user's own threads do
is in no op and no line; so it is at least counted.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Self

from jupyter_optim.hardware.child_processes import ChildProcesses
from jupyter_optim.hardware.other_threads import OtherThreads
from jupyter_optim.report import Unseen

_INTERVAL_S, _LONGEST_S = 0.05, 0.5
_COST = 0.005
"""The part of one core that looking may take; where a look is dear, they are fewer."""

_WORTH_A_WORD, _WORTH_A_WORD_S = 0.02, 0.02
"""Less than this part of the run, or than these seconds: a kernel's own threads always do a little."""


class Bystanders:
    """While it is entered, watches what works beside the thread that entered it; `unseen` is what it saw then."""

    def __init__(self) -> None:
        self.unseen: Unseen | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._process_s = 0.0
        self._looks = 0

    def __enter__(self) -> Self:
        self._threads, self._children = OtherThreads(), ChildProcesses()
        self._look()
        self._process_s = time.process_time()
        self._thread = threading.Thread(target=self._run, name="jupyter-optim-bystanders", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._look()
        self.unseen = self._summary(time.process_time() - self._process_s)

    def _run(self) -> None:
        interval_s = _INTERVAL_S
        while not self._ended.wait(interval_s):
            began_s = time.thread_time()
            self._look()
            interval_s = min(_LONGEST_S, max(_INTERVAL_S, (time.thread_time() - began_s) / _COST))

    def _look(self) -> None:
        self._threads.look()
        self._children.look()
        self._looks += 1

    def _summary(self, process_s: float) -> Unseen:
        processes = self._children.workers()
        found = sorted((*self._threads.workers(), *processes), key=lambda worker: -worker.cpu_s)
        cpu_s = math.fsum(worker.cpu_s for worker in found)
        total_s = process_s + math.fsum(worker.cpu_s for worker in processes)
        least_s = max(_WORTH_A_WORD_S, _WORTH_A_WORD * total_s)
        return Unseen(
            workers=tuple(worker for worker in found if worker.cpu_s >= least_s),
            cpu_s=cpu_s, share=cpu_s / total_s if total_s > 0 else None,
            method=f"CPU clocks of Python's threads and of child processes, looked at {self._looks} times during the "
                   "cell's own run; torch's own threads belong to the ops that they work for",
            reason=self._threads.reason,
        )  # fmt: skip
