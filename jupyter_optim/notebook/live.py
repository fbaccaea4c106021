"""Tells viewers over a kernel comm what the kernel's machine is doing, from a thread that lives while one looks.

A front end calls `register` and opens a comm: from then on it gets a frame a second, also while a cell keeps the kernel
busy. It closes the comm when nobody looks any more, and says now and then that it is still there. What it says waits
until the running cell ends, so silence counts between cells only: a page that vanished while a cell runs is sent
frames until the cell has ended.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import comm
import msgspec
from IPython.core.getipython import get_ipython

from jupyter_optim.hardware.pace import Pace
from jupyter_optim.hardware.vitals import Vitals
from jupyter_optim.notebook.cell_runs import CellRuns
from jupyter_optim.report import LIVE_VERSION, LiveFrame, LiveRequest

if TYPE_CHECKING:
    from comm.base_comm import BaseComm
    from IPython.core.interactiveshell import InteractiveShell

TARGET = "jupyter-optim-hardware"

_COST = 0.006
"""Part of one core that reading may take; sending takes a little, too."""

_FASTEST_S, _SLOWEST_S = 0.5, 60.0
_FIRST_S = 0.3
"""A first frame comes soon: rates need two readings."""

_ASIDE_S = 0.1
"""After this, the kernel has said "idle" for a comm that was opened beside a running cell."""

_PATIENCE_S = 150.0
"""A viewer says each minute that it is still there."""

_SHOWN_S = 130.0
"""For so long, a little more than viewers show, a cell is told of after it has ended."""


def register() -> int:
    """Let front ends open comms; once more does nothing.

    Returns:
        The version of what is sent.

    Raises:
        RuntimeError: this process is no kernel.
    """
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if shell is None or kernel is None:
        raise RuntimeError("There is no kernel here: only a notebook or a console has a hardware panel.")
    manager = comm.get_comm_manager()
    if TARGET not in manager.targets:
        manager.register_target(TARGET, Feed(shell, kernel).open)
    return LIVE_VERSION


class _Viewer:
    """One comm, and when it was last heard."""

    def __init__(self, link: BaseComm, every_s: float) -> None:
        self.link, self.every_s = link, every_s
        self.heard_s = time.monotonic()
        # opened on a subshell, while a cell runs
        self.aside = threading.current_thread() is not threading.main_thread()


class Feed:
    """Samples while there is a viewer, and not otherwise."""

    def __init__(self, shell: InteractiveShell, kernel: Any) -> None:
        self._kernel = kernel
        self._runs = CellRuns(shell)
        self._viewers: dict[str, _Viewer] = {}
        self._lock = threading.Lock()
        self._ended: threading.Event | None = None

    def open(self, link: BaseComm, message: dict[str, Any]) -> None:
        """Take a viewer in; called by the kernel as a comm is opened."""
        asked = msgspec.convert(message["content"]["data"], LiveRequest, strict=False)
        viewer = _Viewer(link, min(max(asked.every_s, _FASTEST_S), _SLOWEST_S))
        link.on_close(lambda _: self._drop(link.comm_id))
        link.on_msg(lambda _: setattr(viewer, "heard_s", time.monotonic()))
        with self._lock:
            self._viewers[link.comm_id] = viewer
            if self._ended is None:
                self._ended = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._ended,), name="jupyter-optim-hardware", daemon=True
                ).start()

    def _drop(self, comm_id: str) -> None:
        with self._lock:
            self._viewers.pop(comm_id, None)
            if not self._viewers and self._ended is not None:
                self._ended.set()
                self._ended = None

    def _run(self, ended: threading.Event) -> None:
        """The thread: a frame to each viewer, until there is none."""
        vitals = Vitals()
        vitals.start()
        pace = Pace(1.0, _COST)
        wait_s = _FIRST_S
        while not ended.wait(wait_s):
            self._drop_silent()
            viewers = list(self._viewers.values())
            if not viewers:
                continue
            pace.base_s = min(viewer.every_s for viewer in viewers)
            pace.take(time.monotonic(), [lambda at_s: self._show(vitals, viewers, at_s, pace.interval_s)])  # noqa: B023 (called at once)
            wait_s = pace.interval_s
        vitals.close()

    def _show(self, vitals: Vitals, viewers: list[_Viewer], at_s: float, every_s: float) -> None:
        frame = LiveFrame(
            at_s=at_s, every_s=every_s, cores=vitals.cores, sensors=vitals.read(), gpus=vitals.gpus,
            gpu_reason=vitals.gpu_reason, cells=self._runs.recent(_SHOWN_S),
        )  # fmt: skip
        data = msgspec.to_builtins(frame)
        for viewer in viewers:
            content = {"comm_id": viewer.link.comm_id, "data": data}
            self._publish("comm_msg", content, viewer.link.topic)
            if viewer.aside and time.monotonic() - viewer.heard_s > _ASIDE_S:
                self._runs.if_running(self._say_busy)
                viewer.aside = False

    def _publish(self, kind: str, content: dict[str, Any], topic: bytes | None) -> None:
        # Not `link.send`: that files the message under the request that the kernel works on, and ipykernel sends what
        # the viewer answers to that request's subshell. The socket hands over to the kernel's own output thread.
        self._kernel.session.send(self._kernel.iopub_socket, kind, content, parent={}, ident=topic)

    def _say_busy(self) -> None:
        """After a comm was opened on a subshell: its "idle" made front ends forget the cell that runs."""
        self._publish("status", {"execution_state": "busy"}, f"kernel.{self._kernel.ident}.status".encode())

    def _drop_silent(self) -> None:
        """Forget viewers that vanished without a word."""
        if self._runs.running:
            return
        now = time.monotonic()
        for comm_id, viewer in list(self._viewers.items()):
            if now - max(viewer.heard_s, self._runs.quiet_since_s) > _PATIENCE_S:
                self._drop(comm_id)
                viewer.link.close()
