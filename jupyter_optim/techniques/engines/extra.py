"""Whether the optional engines are installed."""

from __future__ import annotations

from importlib.util import find_spec


def missing(*modules: str, extra: str = "engines") -> str | None:
    """What to install for these modules of an extra, or None if all are there."""
    absent = [name for name in modules if find_spec(name) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed: pip install 'jupyter-optim[{extra}]'"
