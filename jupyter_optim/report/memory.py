"""Bytes held during a call, and by whom."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data, Status

HolderKind = Literal[
    "weights", "inputs", "activations", "gradients", "optimizer state", "temporaries", "other tensors"
]


class Holder(Data, frozen=True, kw_only=True):
    """What holds memory at the moment when most is held."""

    kind: HolderKind
    bytes: int
    blocks: int
    """Number of allocations."""
    op: str | None = None
    """The op that allocated it; None for the sum of a kind."""
    module: str | None = None
    line: str | None = None


class HeldAt(Data, frozen=True, kw_only=True):
    """One point of a curve of memory over time."""

    ms: float
    """Since the traced call began."""
    bytes: int


class Memory(Data, frozen=True, kw_only=True):
    """Bytes held by tensors during one call."""

    peak_bytes: int | None
    """Weights, buffers, inputs and the most that was live besides during the call."""
    weights_bytes: int | None
    """Parameters and buffers, each storage counted once."""
    activations_bytes: int | None
    """The most that the call itself held at one time, above what it started with."""
    parameters: int | None
    status: Status
    method: str
    reason: str | None = None
    at_peak: tuple[Holder, ...] = ()
    """What is held at the peak, by kind; the sum is `peak_bytes`."""
    holders: tuple[Holder, ...] = ()
    """The ops that allocated most of what is held then."""
    timeline: tuple[HeldAt, ...] = ()
    """What was held during the traced call, weights and inputs included."""
