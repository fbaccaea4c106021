"""What a button starts: one piece of work at a time, in a thread, so that the kernel is free to hear *Cancel*."""

from __future__ import annotations

import contextvars
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from jupyter_optim.errors import Cancelled, OptimError
from jupyter_optim.notebook.pause import between_calls

if TYPE_CHECKING:
    from jupyter_optim.notebook.status import Status
    from jupyter_optim.session import Session

_THREAD = "jupyter-optim"

Action = Callable[["Session"], str]
"""Does something to a session and says what came of it."""


class Worker:
    """Works on one session, and tells its status line."""

    def __init__(self, session: Session, status: Status, after: Callable[[Session], None]) -> None:
        """Work on `session`, which is held weakly; `after` is called when a piece of work has ended."""
        self._session = weakref.ref(session)
        self._status = status
        self._after = after
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._busy: str | None = None
        self._cancelling = self._exchanged = False
        session.swap_on(self._exchange)

    @property
    def busy(self) -> str | None:
        """What it is busy with, or None."""
        return self._busy

    def start(self, name: str, action: Action) -> None:
        """Begin `action` and return at once; while other work goes on, say so and queue nothing."""
        session = self._session()
        if session is None:
            self._status.say("The model of this panel is gone. Run the cell again.")
        elif not self._take(name):
            self._status.answer(f"Busy with {self._busy}; nothing was queued. Wait, or press Cancel.")
        else:
            self._status.begin(name)
            # An empty context: ipykernel finds the request that output belongs to in a context variable. What this
            # thread displays must go with the newest request, not with the one that ran when it was started.
            run = contextvars.Context().run
            thread = threading.Thread(
                target=run, args=(self._run, session, name, action), name=_THREAD, daemon=True
            )
            thread.start()

    def cancel(self) -> None:
        """Ask the work to stop, if any goes on."""
        session = self._session()
        if session is not None and self._busy is not None:
            self._cancelling = True
            self._status.cancelling()
            session.cancel()

    def check(self) -> None:
        """Raise `Cancelled` if the user asked for that; for work that the session does not know of."""
        if self._cancelling:
            raise Cancelled("Cancelled: the model is as it was before.")

    def wait(self, timeout: float | None) -> bool:
        """Block until the work is done; False if that took longer than `timeout` seconds."""
        return self._idle.wait(timeout)

    def _take(self, name: str) -> bool:
        with self._lock:
            if self._busy is not None:
                return False
            self._busy = name
            self._cancelling = self._exchanged = False
            self._idle.clear()
            return True

    def _run(self, session: Session, name: str, action: Action) -> None:
        try:
            _detach_streams()
            said, details = self._done(session, name, action)
            self._status.end(said, details)
        finally:
            self._busy = None
            self._idle.set()

    def _done(self, session: Session, name: str, action: Action) -> tuple[str, str]:
        """What came of it, and the details of a fault: this is the edge, where all that is raised ends."""

        def news(text: str, fraction: float | None) -> None:
            self._status.news(text, fraction)
            if self._cancelling:
                session.cancel()  # again: the first may have come before the work could hear it

        silence = session.listen(news)
        said = details = ""
        try:
            said = action(session)
        except OptimError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001 (the edge)
            said = f"{name} failed with {type(error).__name__}: {error}"
            details = "".join(traceback.format_exception(error))
        finally:
            silence()
        try:
            self._after(session)
        except Exception as error:  # noqa: BLE001 (the edge)
            said = f"{said} Showing it failed with {type(error).__name__}: {error}"
            details += "".join(traceback.format_exception(error))
        return said, details

    def _exchange(self, swap: Callable[[], None]) -> None:
        """Exchange the model's contents; from our thread, between two calls that a cell may be making."""
        session = self._session()
        if session is None or threading.current_thread().name != _THREAD:
            swap()
            return

        def wait() -> bool:
            self._status.news("waiting for a pause in the use of the model", None)
            # what follows a first exchange may be its reversal, which must not be left out
            return self._exchanged or not self._cancelling

        between_calls(session.model, swap, wait=wait)
        self._exchanged = True


def _detach_streams() -> None:
    """Give this thread's output no cell to go to: it would land in whichever cell runs meanwhile."""
    for stream in (sys.stdout, sys.stderr):
        detach = getattr(stream, "set_thread_parent", None)  # ipykernel 7
        if detach is not None:
            detach({})
