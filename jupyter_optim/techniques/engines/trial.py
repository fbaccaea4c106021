"""Whether an engine survives a model, found out in a process of its own: engines do crash."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from jupyter_optim.errors import OptimError
from jupyter_optim.progress import Progress

_PROGRAM = Path(__file__).with_name("trial_process.py")
_LONGEST_S = 300.0
_LOOK_S = 0.1


class _Trials:
    """A process that is started when it is first needed, and again where a model has brought it down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Its answer. Raises `OptimError` if it crashed or took too long, and `Cancelled`."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                self._wait(process.stdout, progress)
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            except BaseException:
                self.end()
                raise
            if line:
                answer: dict[str, Any] = json.loads(line)
                return answer
            code = process.wait()
            self.end()
            cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            raise OptimError(
                f"OpenVINO crashes on this model ({cause}), in a process that was started to find out"
            )

    def _wait(self, answers: IO[str], progress: Progress) -> None:
        ends = time.monotonic() + _LONGEST_S
        while not select.select([answers], [], [], _LOOK_S)[0]:
            progress.check()
            if time.monotonic() > ends:
                raise OptimError(f"OpenVINO has not compiled this model within {_LONGEST_S:.0f} s")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip
            atexit.register(self.end)
        return self._process

    def forget(self) -> None:
        """What a fork does with its parent's process."""
        self._process, self._lock = None, threading.Lock()
        atexit.unregister(self.end)

    def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:
                pass  # closes the pipes, and waits
        atexit.unregister(self.end)


_trials = _Trials()
os.register_at_fork(after_in_child=_trials.forget)


@dataclass(frozen=True, slots=True)
class Trial:
    """A call of an engine."""

    seconds: float
    """What a call takes."""
    outputs: list[torch.Tensor]


def tried(
    model: Any, tensors: list[torch.Tensor], settings: dict[str, Any], shapes: list[tuple[int, ...]] | None,
    progress: Progress,
) -> Trial:  # fmt: skip
    """Compile and call `model` in that process.

    Args:
        model: an `openvino.Model`.
        tensors: its inputs.
        settings: what it is compiled with.
        shapes: of the inputs, if they are fixed.
        progress: asked whether to stop; the process is then ended.

    Raises:
        OptimError: it crashes, or it raises, or takes minutes.
        Cancelled: the user asked for that.
    """
    with tempfile.TemporaryDirectory(prefix="jupyter-optim-") as folder:
        graph, inputs, outputs = (Path(folder, name) for name in ("model.xml", "inputs.npz", "outputs.npz"))
        importlib.import_module("openvino").save_model(model, graph, compress_to_fp16=False)
        np.savez(inputs, *[tensor.detach().numpy() for tensor in tensors])
        request = {
            "model": str(graph), "inputs": str(inputs), "outputs": str(outputs), "settings": settings,
            "shapes": None if shapes is None else [list(shape) for shape in shapes],
        }  # fmt: skip
        answer = _trials.ask(request, progress)
        if "error" in answer:
            raise OptimError(f"OpenVINO cannot run this model: {answer['error'].splitlines()[0]}")
        with np.load(outputs) as found:
            return Trial(answer["seconds"], [torch.from_numpy(found[name]) for name in found.files])
