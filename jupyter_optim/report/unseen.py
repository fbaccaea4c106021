"""Work beside the thread that is profiled: other threads and worker processes."""

from __future__ import annotations

from jupyter_optim.report.base import Data


class Worker(Data, frozen=True, kw_only=True):
    """A thread or a process that worked during the cell's run, and is in none of the ops and lines."""

    name: str
    """What the thread or the process calls itself."""
    process: bool
    """Whether it is a process of its own, such as a worker of a DataLoader."""
    cpu_s: float
    """CPU time that it took meanwhile."""


class Unseen(Data, frozen=True, kw_only=True):
    """What ops and lines do not show."""

    workers: tuple[Worker, ...]
    """The busiest first."""
    cpu_s: float
    """CPU time of all of them."""
    share: float
    """Of the CPU time of the whole run, theirs included."""
    method: str
    reason: str | None = None
