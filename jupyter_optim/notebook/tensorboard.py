"""A TensorBoard that shows traces of one session: its process, its folder, its end."""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jupyter_optim.errors import MissingExtra, OptimError

INSTALL = "pip install 'jupyter-optim[tensorboard]'"

_PACKAGES = ("tensorboard", "torch_tb_profiler")
_LOOK_S = 0.1
_LONGEST_S = 120.0
_END_S = 5.0
_VIEWS = "/data/plugin/pytorch_profiler"

Waiting = Callable[[], None]
"""Called some times a second while there is nothing to do but wait; what it raises ends the waiting."""


def missing() -> list[str]:
    """Names of the packages that are needed and are not installed."""
    importlib.invalidate_caches()  # they may have been installed since the kernel began
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]


class TensorBoard:
    """One process on a free port of this machine's loopback address, and the folder that it shows.

    It ends with `stop`, with this object, or with the kernel, and its folder with it.

    Raises:
        MissingExtra: TensorBoard or its plugin is not installed.
    """

    def __init__(self) -> None:
        if missing():
            raise MissingExtra(
                f"TensorBoard needs packages that are not installed: run `{INSTALL}`, and press again."
            )
        self._folder = Path(tempfile.mkdtemp(prefix="jupyter-optim-tensorboard-"))
        (self._folder / "runs").mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._end = weakref.finalize(self, _end, self._folder, None)
        self.url: str | None = None
        """Where it is, once it runs."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, by itself or by `stop`."""
        return not self._end.alive or (self._process is not None and self._process.poll() is not None)

    def run_folder(self, name: str) -> Path:
        """Where the traces of one run go; a run that is there already is not read again."""
        return self._folder / "runs" / name

    def show(self, run: str, waiting: Waiting) -> str:
        """Start it if need be, and wait until it has read a run.

        Args:
            run: the name of the run.
            waiting: called meanwhile.

        Returns:
            The address of the page.

        Raises:
            OptimError: it does not start, or cannot read the trace.
        """
        if self.ended:
            raise OptimError("TensorBoard was stopped.")
        if self._process is None:
            self._start()
        self._await((self._folder / "address").exists, "start", waiting)
        self.url = (self._folder / "address").read_text(encoding="utf-8").strip()
        # it looks for new runs every ten seconds
        self._await(lambda: run in self._asked("runs")["runs"], "read the trace", waiting)
        if not self._asked(f"views?run={quote(run)}"):
            raise OptimError(f"TensorBoard's plugin could not read the trace.{self._last_words()}")
        return f"{self.url}#pytorch_profiler"

    def stop(self) -> None:
        """End it, and remove its traces; again does nothing."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)  # a trace may have been on its way

    def _start(self) -> None:
        from jupyter_optim.notebook import tensorboard_process  # noqa: PLC0415 (only its place is needed)

        messages = (self._folder / "messages").open("wb")
        with messages:
            # not in the kernel's group, which an interrupt of the kernel goes to; and -P, for a file of the user's,
            # or of ours, beside it must not stand in for a module of its own
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(tensorboard_process.__file__), str(self._folder)],
                stdin=subprocess.PIPE, stdout=messages, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._end.detach()
        self._end = weakref.finalize(self, _end, self._folder, self._process)

    def _await(self, done: Callable[[], bool], what: str, waiting: Waiting) -> None:
        latest = time.monotonic() + _LONGEST_S
        while not done():
            waiting()
            if self.ended or time.monotonic() > latest:
                raise OptimError(f"TensorBoard did not {what}.{self._last_words()}")
            time.sleep(_LOOK_S)

    def _asked(self, question: str) -> Any:
        """An answer of the plugin; asked without the proxies that the environment may name."""
        connection = http.client.HTTPConnection(urlsplit(self.url or "").netloc, timeout=_LONGEST_S)
        try:
            connection.request("GET", f"{_VIEWS}/{question}")
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OptimError(f"TensorBoard does not answer: {error}.{self._last_words()}") from error
        finally:
            connection.close()

    def _last_words(self) -> str:
        try:
            said = (self._folder / "messages").read_text(errors="replace").strip()
        except OSError:
            return ""
        return f" It said last: {said.splitlines()[-1][:300]}" if said else ""


def _end(folder: Path, process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        if process.stdin is not None:
            process.stdin.close()
        # a forked worker of a DataLoader may hold the pipe as well
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)
