"""Run PyTorch's profiler for a while, quietly, and read what it saw."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from jupyter_optim.profiling.trace.columns import Columns
from jupyter_optim.profiling.trace.reader import read
from jupyter_optim.profiling.trace.tensorboard import for_viewers, leave_trace
from jupyter_optim.quiet import core_quiet


class Recorder:
    """One recording: `start`, run the code in the same thread, `stop`.

    It uses `torch.autograd.profiler.profile`, the engine below `torch.profiler.profile`: the latter imports
    the whole of inductor when it starts (2.2 s seen), and post-processes what is not asked for.
    """

    def __init__(self, *, memory: bool, shapes: bool = False) -> None:
        # kineto writes to stderr at every profile, and ipykernel shows it in the cell; it reads this once
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        from torch.autograd.profiler import profile  # noqa: PLC0415 (after the line above)

        self._device = "cuda" if torch.cuda.is_available() else None
        self._profiler: Any = profile(use_kineto=True, use_cpu=True, use_device=self._device, profile_memory=memory,
                                      record_shapes=shapes)  # fmt: skip
        self._running = False
        self._restore_log: Callable[[], None] = lambda: None
        self._saved: Path | None = None

    @staticmethod
    def obstacle() -> str | None:
        """Why no recording can be made now, or None."""
        if torch._C._autograd._profiler_enabled():  # noqa: SLF001 (there is no public way to ask)
            return "another PyTorch profiler was running"
        return None

    @property
    def running(self) -> bool:
        return self._running

    def start(self) -> None:
        """Begin to record, in this thread."""
        before = _unread()
        if before is not None and before.spoilt_by_another:
            before.save()
        self._restore_log = core_quiet()
        self._profiler.__enter__()
        self._running = True

    def stop(self) -> None:
        """End the recording; again does nothing. Must be called in the thread that started it."""
        if self._running:
            self._running = False
            try:
                self._profiler.__exit__(None, None, None)
            finally:
                self._restore_log()
            _last[:] = [weakref.ref(self)]

    @property
    def spoilt_by_another(self) -> bool:
        """Whether the trace can no longer be read once another recording has ended.

        Kineto turns an accelerator's clock into time when the trace is written, with what the last recording measured
        of the clocks: what is older comes out at zero, and with no length (seen with PyTorch 2.11).
        """
        return self._device is not None

    def save(self) -> Path:
        """Have the trace in a file, which lasts as long as this object."""
        if self._saved is None:
            folder = tempfile.mkdtemp(prefix="jupyter-optim-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._saved = Path(folder) / "trace.json"
            self._profiler.export_chrome_trace(str(self._saved))
        return self._saved

    def columns(
        self, *, keep: Path | None = None, name_of: Callable[[str], str] | None = None,
        clean: Callable[[str], str] | None = None,
    ) -> Columns:  # fmt: skip
        """The recorded events.

        Args:
            keep: where to leave the Chrome trace as well, compressed if that ends in ``.gz``.
            name_of: gives our ranges the names that they have in that file, in place of their numbers.
            clean: what is done to every text in that file.

        Raises:
            OptimError: the trace cannot be left there.
        """
        path = self.save()
        if keep is not None:
            data = path.read_bytes()
            leave_trace(data if name_of is None else for_viewers(data, name_of, clean), keep)
        return read(path)


_last: list[weakref.ref[Recorder]] = []
"""The recording that ended last."""


def _unread() -> Recorder | None:
    """The recording that ended last, if it may still be read."""
    return _last[0]() if _last else None
