"""What `torch.compile` made of a model."""

from __future__ import annotations

from jupyter_optim.report.base import Data


class GraphBreak(Data, frozen=True, kw_only=True):
    """A place at which a compiled graph ends and Python goes on."""

    reason: str
    line: str | None
    """``source:lineno`` of the code that broke it, if torch told."""
    hint: str | None = None


class FusedKernel(Data, frozen=True, kw_only=True):
    """One kernel that the compiler wrote."""

    name: str
    ops: tuple[str, ...]
    """The ops that it was made from, as far as torch tells."""
    modules: tuple[str, ...]
    """The modules whose code those are, as far as torch tells."""
    ms: float | None
    """In one call; None where the kernels are not timed one by one."""
    calls: float | None


class Compiled(Data, frozen=True, kw_only=True):
    """The compiled parts of a model."""

    graphs: float
    """Compiled graphs that run in one call."""
    breaks: tuple[GraphBreak, ...]
    compiled_ms: float | None
    """Time inside compiled graphs, in one call."""
    share: float | None
    """Of the call."""
    recompiles: int | None
    """Compilations of code that had been compiled before, in this process."""
    kernels: tuple[FusedKernel, ...]
    method: str
    reason: str | None = None
