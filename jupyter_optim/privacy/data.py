"""A report without what must not be told: the one door that every report passes."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from jupyter_optim.privacy.cleaner import Cleaner
from jupyter_optim.report import Line, Report

_D = TypeVar("_D")

_NAMES = frozenset(
    {
        "name", "path", "class_name", "module", "modules", "op", "ops", "top_ops", "model", "technique", "label",
        "family", "kind", "dtype", "device", "verdict", "metric", "origin", "severity", "status", "libraries", "unit",
        "flops_per_s", "cpu_model", "isa", "kernels",
    }
)  # fmt: skip
"""Fields that hold names of code, or of parts of the machine: a word there is never a user's name."""


def private(report: Report, cleaner: Cleaner | None = None) -> Report:
    """`report` without paths, user names and host names; what a user wrote into a cell stays as it was written.

    The text of a cell stands in the notebook as well, and line marks are matched by it.

    Args:
        report: what was measured.
        cleaner: takes them out of a text; by default as this process is.
    """
    return _clean(report, cleaner or Cleaner(), prose=True)


def _clean(value: _D, cleaner: Cleaner, *, prose: bool) -> _D:
    cleaned: Any = value
    if isinstance(value, str):
        cleaned = cleaner.text(value, prose=prose)
    elif isinstance(value, msgspec.Struct):
        cleaned = _struct(value, cleaner, prose=prose)
    elif isinstance(value, dict):
        cleaned = {
            _clean(key, cleaner, prose=False): _clean(item, cleaner, prose=prose)
            for key, item in value.items()
        }
    elif isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
        items = [_clean(item, cleaner, prose=prose) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            cleaned = type(value)(items)
    return cleaned  # type: ignore[no-any-return]


def _struct(value: msgspec.Struct, cleaner: Cleaner, *, prose: bool) -> msgspec.Struct:
    changed = {}
    for field in value.__struct_fields__:
        old = getattr(value, field)
        if old is None or isinstance(old, int | float) or _written_in_a_cell(value, field):
            continue
        new = _clean(old, cleaner, prose=prose and field not in _NAMES)
        if new is not old and new != old:
            changed[field] = new
    return msgspec.structs.replace(value, **changed) if changed else value


def _written_in_a_cell(value: msgspec.Struct, field: str) -> bool:
    """Whether it is the user's own text of a cell."""
    if isinstance(value, Report):
        return field == "cell"
    return isinstance(value, Line) and field == "text" and value.source.startswith(("this cell", "cell ["))
