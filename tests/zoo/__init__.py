"""Models as varied as those that people bring, for tests that must hold for every model."""

from __future__ import annotations

from tests.zoo import attention, awkward, dense, huggingface, recurrent, structures, vision, wrapped
from tests.zoo.calls import call, peek, state_kept
from tests.zoo.checks import all_finite, check_same, fingerprint, outputs_equal, rng_fingerprint, structure
from tests.zoo.entry import Built, Entry

FAMILIES = (dense, vision, recurrent, attention, huggingface, structures, wrapped, awkward)
ENTRIES: tuple[Entry, ...] = tuple(each for family in FAMILIES for each in family.ENTRIES)


def named(name: str) -> Entry:
    """The entry of that name. Raises KeyError if there is none."""
    return {each.name: each for each in ENTRIES}[name]


__all__ = [
    "ENTRIES",
    "Built",
    "Entry",
    "all_finite",
    "call",
    "check_same",
    "fingerprint",
    "named",
    "outputs_equal",
    "peek",
    "rng_fingerprint",
    "state_kept",
    "structure",
]
