"""What all data of a report has in common."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["measured", "estimated", "unavailable"]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all report data: immutable, keyword only."""


class Interval(Data, frozen=True, kw_only=True):
    """A measured value with its 95% confidence interval."""

    low: float
    median: float
    high: float
