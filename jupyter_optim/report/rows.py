"""What cost how much: ops, modules, and lines of the user's code, and how that was found."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data, Status

Bound = Literal["compute", "memory", "overhead"]


class Op(Data, frozen=True, kw_only=True):
    """One operator of one module, summed over one call of the model."""

    name: str
    calls: float
    self_ms: float
    """Time in this op and not in the ops that it calls."""
    total_ms: float
    share: float
    """`self_ms` over the time of the traced call."""
    flops: int | None
    """Operations, a multiply-add being two; None where no formula is known, or the ops that it calls have them."""
    bytes: int | None
    """The least that it must read and write."""
    bound: Bound | None
    """What keeps it from being faster: arithmetic, memory, or the work of launching it."""
    module: str | None
    """Qualified name of the innermost module ("" is the root), or None if outside every module."""
    line: str | None
    """``source:lineno`` of the line that caused it, or None if not traced."""
    device: str
    dtype: str | None = None
    """Element type of its first tensor."""
    of_peak: float | None = None
    """How near it comes to the most that this machine can do: the time that its arithmetic and its data need at the
    machine's peaks, over the time it took."""
    host_ms: float | None = None
    """Where the work is an accelerator's: the host's own time in this op."""
    kernels: float | None = None
    """Kernels, copies and fills that it launched itself on an accelerator."""


class ModuleRow(Data, frozen=True, kw_only=True):
    """One module, summed over one call of the model."""

    path: str
    """Qualified name; "" is the root. A shared module appears once, under its first name."""
    class_name: str
    calls: float
    total_ms: float
    self_ms: float
    """`total_ms` less the time of the modules that it calls."""
    share: float
    """`self_ms` over the time of the traced call."""
    params: int
    """Parameters of its own, without those of its children."""
    flops: int | None
    """Operations within it, those of its children included."""
    bytes: int | None
    """Bytes of its own parameters and buffers."""


class Line(Data, frozen=True, kw_only=True):
    """One line of the user's code: inclusive time of what the line calls."""

    source: str
    lineno: int
    text: str
    ms: float
    share: float
    """`ms` over the time of one execution, `LineTrace.total_ms`."""
    self_ms: float | None = None
    """Time in this line and in no other line of the user's that it calls."""
    bytes: int | None = None
    """The most host memory that it held above what it started with."""
    gpu_ms: float | None = None
    """Time of the accelerator's work that it launched, what it calls included; None where there is none, and where a
    part of the run was not traced."""
    estimated: bool = False
    """Whether a part of the time was sampled, not traced."""


class LineTrace(Data, frozen=True, kw_only=True):
    """How `lines` were got."""

    total_ms: float | None
    """Wall time of one execution: of the cell's run, or of one call."""
    unattributed_ms: float | None
    """Time of that in no line of the user's."""
    status: Status
    method: str
    reason: str | None = None


class Trace(Data, frozen=True, kw_only=True):
    """How ops, modules and lines were attributed."""

    events: int
    calls: int
    """Model calls in the trace."""
    call_ms: float | None
    """Wall time of one call: what `share` is a share of. The clean median, to which all times of a replayed trace are
    scaled, since the profiler slows what it looks at."""
    unattributed_ms: float | None
    """Time of the call in no op: Python, hooks and the profiler itself."""
    source: Literal["replay", "cell", "file"]
    traced_ms: float | None = None
    """Wall time of one call under the profiler."""
    method: str
    reason: str | None = None
