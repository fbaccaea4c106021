"""``jupyter optim doctor``: what this machine offers, what is missing, and how to get it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from jupyter_optim.cli.examined import Examined
from jupyter_optim.cli.machine import energy, gpu, processor
from jupyter_optim.cli.software import extras, frontend, labextension, python, torch

_CHECKS: tuple[Callable[[], Iterator[Examined]], ...] = (
    python, torch, processor, gpu, energy, frontend, labextension, extras,
)  # fmt: skip


def doctor(width: int) -> int:
    """Print a line for each thing that was looked at.

    Returns:
        The exit status: 1 if something is missing that the package cannot do without.
    """
    broken = False
    for check in _CHECKS:
        for found in check():
            broken = broken or (found.needed and not found.ok)
            for line in _lines(found, width):
                print(line)
    return 1 if broken else 0


def _lines(found: Examined, width: int) -> Iterator[str]:
    mark = "ok" if found.ok else "missing"
    words = found.words if found.ok or found.needed else f"{found.words} (not needed)"
    yield from textwrap.wrap(
        words, max(40, width), initial_indent=f"{mark:<9}{found.what:<16}", subsequent_indent=" " * 25,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
    if found.remedy:
        # one line, however long: it is there to be copied
        yield f"{'':<25}-> {found.remedy}"
