"""CPU time of the processes that this one has started, and of those that they have."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from jupyter_optim.hardware.spent import Spent
from jupyter_optim.report import Worker
from jupyter_optim.report.unseen import DATA_LOADER_WORKER

_TORCH_NAME = "pt_data_worker"
_SHORT_LIVED = "short-lived processes"


class ChildProcesses:
    """Watches children and grandchildren.

    Their parents inherit the time of those that end, so that the sum is exact however short they live; only who of
    them it was may then be unknown.
    """

    def __init__(self) -> None:
        self._spent = Spent()
        self._processes: dict[int, psutil.Process] = {}
        self._first_s: float | None = None
        self._last_s = 0.0
        # Linux lists the children of each thread; elsewhere all processes of the machine have to be gone through
        self._listed = Path(f"/proc/self/task/{threading.get_native_id()}/children").exists()

    def look(self) -> None:
        """See who is there, and what each has taken."""
        # who ends in between is then missing from this sum, and not in it twice
        self._last_s = _inherited_s()
        self._spent.look(self._times())
        if self._first_s is None:
            self._first_s = self._last_s

    def _times(self) -> Iterator[tuple[int, str, float]]:
        for number in _listed() if self._listed else _searched():
            try:
                process = self._processes.get(number) or psutil.Process(number)
                with process.oneshot():
                    name, times = process.name(), process.cpu_times()
            except psutil.Error:
                continue  # it has ended, or is not ours to look at
            self._processes[number] = process
            own_s = times.user + times.system
            self._last_s += own_s + times.children_user + times.children_system
            yield number, DATA_LOADER_WORKER if name == _TORCH_NAME else name, own_s

    def workers(self) -> tuple[Worker, ...]:
        """Those that took time from the first look to the last."""
        found = {each.name: each for each in self._spent.workers(process=True)}
        rest_s = self._last_s - (self._first_s or 0.0) - self._spent.cpu_s
        if rest_s > 0:
            ended = self._spent.ended
            # what they did after they were last looked at
            name = ended.pop() if len(ended) == 1 else _SHORT_LIVED
            known = found.get(name, Worker(name=name, process=True, cpu_s=0.0))
            found[name] = Worker(name=name, process=True, cpu_s=known.cpu_s + rest_s, count=known.count)
        return tuple(found.values())


def _inherited_s() -> float:
    """CPU time of all children that have ended; Windows does not keep it, so there it is none."""
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _searched() -> list[int]:
    return [process.pid for process in psutil.Process().children(recursive=True)]


def _listed() -> list[int]:
    # only Python threads start processes; the many threads of an intra-op pool are not worth a look
    found = _children(os.getpid(), [thread.native_id for thread in threading.enumerate()])
    for number in found:
        found += _children(number, _tasks(number))
    return found


def _tasks(process: int) -> list[int | None]:
    try:
        return [int(path.name) for path in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return []  # it has ended


def _children(process: int, tasks: list[int | None]) -> list[int]:
    found: list[int] = []
    for task in tasks:
        try:
            found += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
        except OSError:
            continue  # it has ended
    return found
