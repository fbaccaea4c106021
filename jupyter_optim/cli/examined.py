"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found, and how to get what was not."""

    what: str
    ok: bool
    words: str
    remedy: str = ""
    """A command, or what else to do."""
    needed: bool = False
    """Whether the package cannot do without it."""


def version_of(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version, to compare by."""
    found = []
    for part in version.split(".")[:2]:
        digits = "".join(char for char in part if char.isdigit())
        found.append(int(digits or 0))
    return tuple(found)
