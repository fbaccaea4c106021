"""Work beside the thread that is profiled: other threads and worker processes."""

from __future__ import annotations

from jupyter_optim.report.base import Data

DATA_LOADER_WORKER = "DataLoader worker"
"""The name of a process that fetches batches for a DataLoader."""


class Worker(Data, frozen=True, kw_only=True):
    """Threads or processes of one name that worked during the cell's run, and are in none of the ops and lines."""

    name: str
    """What the thread or the process calls itself."""
    process: bool
    """Whether it is a process of its own, such as a worker of a DataLoader."""
    cpu_s: float
    """CPU time that they took meanwhile."""
    count: int | None = None
    """The most that there were at one time; None for those that were too short to be seen one by one."""


class Unseen(Data, frozen=True, kw_only=True):
    """What ops and lines do not show."""

    workers: tuple[Worker, ...]
    """Those that took time worth a word, the busiest first."""
    cpu_s: float
    """CPU time of all that could be watched, also of those that are not among `workers`."""
    share: float | None
    """Of the CPU time of the whole run, theirs included; None if no CPU time was counted in so short a run."""
    method: str
    reason: str | None = None
    """What could not be watched, and why; None if all could."""
