"""Where a long piece of work stands, and the flag that stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jupyter_optim.errors import Cancelled

Listener = Callable[[str, float | None], None]
"""Called with what is being done, and the fraction done so far (None if it cannot be told)."""


class Progress:
    """Carries news of the work outwards, and *Cancel* inwards.

    Work calls `report` and `check` between timing blocks, layers and batches: both raise `Cancelled` once
    `cancel` was called, from any thread.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._cancelled = threading.Event()

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say what is being done now. Raises `Cancelled` if the user asked for that."""
        self.check()
        if self._listener is not None:
            self._listener(text, fraction)

    def check(self) -> None:
        """Raise `Cancelled` if the user asked for that."""
        if self._cancelled.is_set():
            raise Cancelled("Cancelled: the model is as it was before.")

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._cancelled.set()
