"""What was measured: the model, and how it was called."""

from __future__ import annotations

from typing import Literal

from jupyter_optim.report.base import Data

Origin = Literal["cell", "call", "expression", "trace"]


class InputSpec(Data, frozen=True, kw_only=True):
    """One leaf of the model's input."""

    name: str
    """Where it sits: ``args[0]``, ``input_ids``, ``batch.mask``."""
    kind: str
    """``tensor`` or the Python type's name."""
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    device: str | None = None


class Signature(Data, frozen=True, kw_only=True):
    """One combination of input shapes and types that the model was called with."""

    text: str
    calls: int
    total_ms: float
    measured: bool
    """Whether the figures of this report belong to this signature."""


class OtherModel(Data, frozen=True, kw_only=True):
    """A model that was called too, and is not the one that was measured."""

    model: str
    calls: int
    total_ms: float


class WorkloadInfo(Data, frozen=True, kw_only=True):
    """What was measured: the model, and how it was called."""

    model: str
    """Class name of the model's root module."""
    origin: Origin
    """``cell``: captured under ``%%optimize``; ``call``: given to `optimize`; ``expression``: ``%optimize EXPR``;
    ``trace``: read from a file."""
    expression: str | None
    device: str
    dtype: str | None
    training: bool
    grad: bool
    """Whether gradients were tracked during the call."""
    autocast: str | None
    """Autocast dtype in force, or None."""
    batch_size: int | None
    inputs: tuple[InputSpec, ...]
    signatures: tuple[Signature, ...]
    calls: int
    """Calls of the root module that were seen (1 for `optimize` with inputs)."""
    cell_ms: float | None
    """Wall time of the cell's own run."""
    model_ms: float | None
    """Wall time of that run which was spent inside this model's calls."""
    others: tuple[OtherModel, ...] = ()
    trains: bool | None = None
    """Whether weights were changed, or gradients left, by the run that was watched; None if none was."""
    replayed: bool
    """False: the model could not be called again, so all figures come from the cell's own run."""
    reason: str | None
    """Why it was not replayed, or what limits the figures; None if nothing does."""
