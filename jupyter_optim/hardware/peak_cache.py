"""Peaks, kept from one process to the next. A cache that cannot be read or written is as good as none."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from jupyter_optim.hardware.peak_data import Key, Peaks


def folder() -> Path:
    """The user's cache directory: ``JUPYTER_OPTIM_CACHE`` if set, else where the system wants it."""
    chosen = os.environ.get("JUPYTER_OPTIM_CACHE")
    if chosen:
        return Path(chosen)
    try:
        import platformdirs  # noqa: PLC0415 (comes with jupyter_core)
    except ImportError:
        base = os.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path("~/.cache").expanduser()) / "jupyter-optim"
    return Path(platformdirs.user_cache_path("jupyter-optim", appauthor=False))


def path_of(key: Key) -> Path:
    """One file for each key, so that two processes do not write the same one without need."""
    digest = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:16]
    return folder() / f"peaks-{key.device}-{digest}.json"


def load(key: Key) -> Peaks | None:
    """What was kept for `key`; None if nothing was, or if it cannot be read or is of another key."""
    try:
        found = msgspec.json.decode(path_of(key).read_bytes(), type=Peaks)
    except (OSError, RuntimeError, msgspec.DecodeError, UnicodeDecodeError):
        return None  # RuntimeError: this user has no home
    return found if found.key == key and found.flops else None


def save(peaks: Peaks) -> bool:
    """Keep `peaks`; False if that cannot be. Another process reads the old file or the new one, never a part."""
    temporary = None
    try:
        path = path_of(peaks.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".peaks-", delete=False) as file:
            temporary = Path(file.name)
            file.write(msgspec.json.format(msgspec.json.encode(peaks), indent=1))
        temporary.replace(path)
    except (OSError, RuntimeError):
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        return False
    return True
