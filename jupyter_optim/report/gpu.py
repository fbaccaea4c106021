"""What an accelerator did during a call: its kernels, copies and streams, and when it had nothing to do."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data

IdleReason = Literal[
    "launch",
    "synchronisation",
    "data loading",
    "between kernels",
    "before the first",
    "after the last",
    "unknown",
]


class Kernel(Data, frozen=True, kw_only=True):
    """All launches of one kernel from one op, module and line."""

    name: str
    calls: float
    """In one call of the model."""
    ms: float
    share: float
    """Of the time in which the accelerator worked, streams added up."""
    op: str | None
    """The op that launched it; None if none did, or the trace does not tell."""
    module: str | None
    line: str | None
    tensor_cores: bool | None
    """Whether it multiplies on tensor cores, judged by its name; None for what multiplies nothing."""
    occupancy: float | None
    """Part of the threads that a multiprocessor could hold that were there, as CUPTI estimates it from the launch."""
    blocks_per_sm: float | None
    """Below 1, multiprocessors stand idle."""
    registers: int | None
    """Per thread."""
    streams: tuple[int, ...]


class Copy(Data, frozen=True, kw_only=True):
    """Copies of one direction, or fills."""

    kind: str
    """``host to device``, ``device to host``, ``device to device``, ``fill``."""
    calls: float
    ms: float
    bytes: int | None
    pageable: bool
    """Whether the host's side was in pageable memory: the copy is slower then, and cannot run beside the host."""


class Idle(Data, frozen=True, kw_only=True):
    """Time in which no stream worked, by what kept it."""

    reason: IdleReason
    """``launch``: the host was not done launching the next kernel; ``synchronisation``: the host had waited for the
    accelerator, and only then launched; ``data loading``: the host was fetching a batch; ``between kernels``: the next
    one was launched already; ``unknown``: the trace does not hold the host's launches."""
    ms: float
    """In one call of the model."""
    share: float
    """Of the call."""
    gaps: float
    op: str | None = None
    """The op that ended the longest of these gaps by launching work."""
    line: str | None = None


class Stream(Data, frozen=True, kw_only=True):
    """One queue of the accelerator."""

    device: int
    stream: int
    ms: float
    """Time in which it worked, in one call."""
    kernels: float
    share: float
    """Of the call."""


class GpuTime(Data, frozen=True, kw_only=True):
    """The accelerator's side of a call."""

    busy_ms: float
    """Time in which at least one stream worked, in one call."""
    idle_ms: float
    busy_share: float
    """Of the call."""
    overlap_ms: float
    """Time in which two streams or more worked at once."""
    launches: float
    """Kernels, in one call."""
    tensor_core_share: float | None
    """Of the time in kernels that multiply; None if none does."""
    occupancy: float | None
    """Mean over kernels, by their time."""
    sm_share: float | None
    """Estimated part of the multiprocessors that had a block, by time of the kernels; None if the trace has none."""
    kernels: tuple[Kernel, ...]
    copies: tuple[Copy, ...]
    streams: tuple[Stream, ...]
    idle: tuple[Idle, ...]
    method: str
    reason: str | None = None
