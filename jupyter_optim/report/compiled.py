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
    """The modules whose weights it reads, as far as torch tells; several where they share one compiled function."""
    ms: float | None
    """In one call; None where the kernels are not timed one by one."""
    calls: float | None


class Compiled(Data, frozen=True, kw_only=True):
    """The compiled parts of a model."""

    graphs: float | None
    """Compiled graphs that run in one call; None where no call was traced."""
    breaks: tuple[GraphBreak, ...]
    compiled_ms: float | None
    """Time inside compiled graphs, in one call."""
    share: float | None
    """Of the call."""
    recompiles: int | None
    """Compilations of code that had been compiled before, in this process; instances of a class share their code."""
    kernels: tuple[FusedKernel, ...]
    method: str
    recompile_reasons: tuple[str, ...] = ()
    """Why, in torch's words; the most frequent first."""
    skipped: tuple[GraphBreak, ...] = ()
    """Functions that were to be compiled and run as they are, and why."""
    reason: str | None = None
