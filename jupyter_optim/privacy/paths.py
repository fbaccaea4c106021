"""A path in as few words as tell which file it is: ``package/file.py``, or relative to the notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from jupyter_optim.privacy.identity import Identity

_LIBRARIES = ("site-packages", "dist-packages")
_STANDARD_LIBRARY = re.compile(r"python\d\.\d+t?")
_COMPILER_CACHE = re.compile(r"torchinductor(_.*)?|\.triton")
_HOMES = ("home", "Users", "Documents and Settings")
_BY_CHANCE = re.compile(r"tmp[a-z0-9_]{6,}|ipykernel_\d+|pytest-\d+|[0-9a-f]{16,}|[A-Z2-7]{40,}", re.ASCII)
"""Folders that have another name each time."""
_KEPT = 2
"""So many names of a path tell which file it is, and no more of where somebody keeps it."""


def short_path(path: str, identity: Identity, here: Iterable[str] = (), own: Iterable[str] = ()) -> str:
    """`path` without what tells of the user or the machine.

    Args:
        path: an absolute path, of this system or another.
        identity: whose names must not be in it.
        here: the notebook's folder, as it may be written; what lies in it is told relative to it.
        own: folders that hold packages.
    """
    parts = _parts(path)
    library = _in_library(parts)
    if library:
        return "/".join(library)
    for folder in here:
        inside = _inside(parts, _parts(folder))
        if inside is not None:
            return "/".join(inside) or "."
    for folder in own:
        inside = _inside(parts, _parts(folder))
        if inside:
            return "/".join(inside)
    if any(_COMPILER_CACHE.fullmatch(part) for part in parts[:-1]):
        return f"torchinductor/{parts[-1]}"
    return "/".join(_told(parts, identity)[-_KEPT:]) or "~"


def _parts(path: str) -> list[str]:
    """The names of a path from its root on; a drive, or the server of a share, is none."""
    plain = re.sub(r"[\\/]+", "/", path)
    if path.startswith("\\\\"):
        plain = "/".join(plain.lstrip("/").split("/")[2:])
    return [part for part in re.sub(r"^[A-Za-z]:/", "/", plain).split("/") if part]


def _inside(parts: Sequence[str], folder: Sequence[str]) -> list[str] | None:
    length = len(folder)
    return list(parts[length:]) if length and list(parts[:length]) == list(folder) else None


def _in_library(parts: Sequence[str]) -> list[str]:
    """From the package on, if it lies where packages are installed."""
    for at in range(len(parts) - 1, 0, -1):
        if parts[at - 1] in _LIBRARIES:
            return list(parts[at:])
    for at in range(2, len(parts)):
        if _STANDARD_LIBRARY.fullmatch(parts[at - 1]) and parts[at - 2].startswith("lib"):
            return list(parts[at:])
    return []


def _told(parts: list[str], identity: Identity) -> list[str]:
    """The names that may be told, all of them."""
    for home in identity.homes:
        inside = _inside(parts, _parts(home))
        if inside is not None:
            return [_named(part, identity) for part in inside if _tells(part, identity)]
    if parts[:1] == ["root"]:
        parts = parts[1:]
    at = next((i for i, part in enumerate(parts[:-1]) if part in _HOMES), None)
    if at is not None and at < 2:
        parts = parts[at + 2 :]
    elif parts and parts[-1] in _HOMES:
        return []
    return [_named(part, identity) for part in parts if _tells(part, identity)]


def _tells(part: str, identity: Identity) -> bool:
    """Whether a folder's or file's name tells something, and that of no person and no machine."""
    return not _BY_CHANCE.fullmatch(part) and part not in identity.users and part not in identity.hosts


def _named(part: str, identity: Identity) -> str:
    """A name that holds a user's, as in ``pytest-of-alice``, without that."""
    for name in sorted(identity.users | identity.hosts, key=len, reverse=True):
        part = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "user", part)
    return part
