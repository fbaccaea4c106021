"""What changed from one report to another, as plain data.

Conventions as in a report: times are milliseconds (`_ms`), sizes bytes (`_bytes`), shares fractions of 1.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from jupyter_optim.report import Finding, Interval

RowStatus = Literal["faster", "slower", "new", "gone", "noise"]
Verdict = Literal["faster", "slower", "noise", "unknown"]
SizeName = Literal["weights", "peak", "activations"]
SizeStatus = Literal["smaller", "larger", "same", "unknown"]

OTHER = "other ops"
"""The group of ops that are in no layer and take less than 2% of the call."""
REST = "between ops (Python)"


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all comparison data: immutable, keyword only."""


class Change(_Data, frozen=True, kw_only=True):
    """One thing in two reports; a time is None in the report that does not have it."""

    name: str
    before_ms: float | None
    after_ms: float | None
    delta_ms: float
    """Time after less time before: negative is faster."""
    share: float | None
    """`delta_ms` over the change of the whole call; None if that is noise or not known."""
    noise_ms: float
    """A change of at most this much is noise."""
    status: RowStatus


class GroupChange(Change, frozen=True, kw_only=True):
    """Layers that had one class before and have one class after, or an op outside layers."""

    class_before: str | None = None
    class_after: str | None = None
    modules: tuple[str, ...] = ()
    """Their paths, as in the report after; in the one before if they are gone."""


class OpChange(Change, frozen=True, kw_only=True):
    """One op, in one module or summed over all."""

    calls_before: float | None
    calls_after: float | None
    module: str | None = None
    """Path, as in the report after if it is there; None: in no module, or summed over all."""


class ModuleChange(Change, frozen=True, kw_only=True):
    """One module's own time; `name` is its path in the report after, or before if it is gone.

    With the time of modules inside of it that the other report does not know: a layer may have become several.
    """

    path_before: str | None
    """None if it is new."""
    class_before: str | None
    class_after: str | None


class LineChange(Change, frozen=True, kw_only=True):
    """One line of the user's code; `name` is ``source:lineno``."""

    text: str
    text_before: str | None
    """None if it is new."""
    place_before: str | None
    """``source:lineno`` in the report before."""


class SizeChange(_Data, frozen=True, kw_only=True):
    """Bytes before and after; small differences of what the allocator held are noise."""

    name: SizeName
    before_bytes: int | None
    after_bytes: int | None
    ratio: float | None
    """Bytes after over bytes before."""
    status: SizeStatus
    reason: str | None = None


class LatencyChange(_Data, frozen=True, kw_only=True):
    """How the time of one call changed."""

    before: Interval | None
    after: Interval | None
    """As the reports have them, in ms."""
    sure: bool
    """Whether both have an interval that was measured; else 25% to either side is assumed."""
    speedup: Interval | None
    """Time before over time after: above 1 is faster."""
    basis: Literal["paired", "measured"] | None
    """``paired``: from the steps' own timing, side by side; ``measured``: from the two reports' times."""
    measured: Interval | None
    """The speed-up by the two reports' times, whatever the basis."""
    drifted: bool
    """Whether the two disagree: then the machine's speed has changed, or more than the steps."""
    before_ms: float | None
    after_ms: float | None
    """Times of a call that the rows sum to; brought to one speed of the machine if that `drifted`."""
    delta_ms: float | None
    verdict: Verdict
    reason: str


class Comparison(_Data, frozen=True, kw_only=True):
    """What changed from one report to another; rows with the largest change come first."""

    schema_version: int = 1
    model: str
    like_for_like: bool
    """Whether machine, software, inputs and mode are the same."""
    caveats: tuple[str, ...]
    """What to mind, in plain words."""
    latency: LatencyChange
    sizes: tuple[SizeChange, ...]
    steps_added: tuple[str, ...]
    """Labels of the steps that only the model after carries, where both reports are of one session."""
    steps_removed: tuple[str, ...]
    groups: tuple[GroupChange, ...]
    """Disjoint: with `rest` they sum to the time of the call."""
    rest: Change
    """The time of the call that is in no op."""
    ops: tuple[OpChange, ...]
    """Summed over modules."""
    op_rows: tuple[OpChange, ...]
    """Each op of each module."""
    modules: tuple[ModuleChange, ...]
    lines: tuple[LineChange, ...]
    lines_reason: str | None
    """Why `lines` say less than they seem to, or None."""
    findings: tuple[Finding, ...]
    """The largest change first; their `share` is that of the change."""
    noise: str
    """How noise was told from change, in a sentence."""

    def __str__(self) -> str:
        from jupyter_optim.render import comparison_text  # noqa: PLC0415 (render stands above)

        return comparison_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        from jupyter_optim.render import comparison_html  # noqa: PLC0415 (render stands above)

        return comparison_html(self)
