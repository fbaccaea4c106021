"""OpenVINO's plugin exchanges a thread's stack for signal handlers; the next signal must find one that is there."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques.engines.signal_stack import signal_stack, signal_stack_kept

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's signal stacks")

INTERRUPTED = """
import gc, os, signal, threading
import openvino as ov
import torch
from torch import nn
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.engines.openvino_engine import OpenVinoEngine

heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
x = torch.randn(4, 64)
graph = ov.convert_model(nn.Linear(64, 64), example_input=(x,))
# as a garbage collector drops them: some thread, one before the other
engines = [OpenVinoEngine(graph, "f32", [x], Progress()) for _ in range(2)]
def forget():
    engines.pop(0)
    gc.collect()
thread = threading.Thread(target=forget)
thread.start()
thread.join()
forget()
os.kill(os.getpid(), signal.SIGUSR1)
print(len(heard))
"""


def test_a_signal_after_engines_were_dropped_by_another_thread() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr[-2000:]


def test_a_thread_keeps_its_signal_stack() -> None:
    before = signal_stack().address
    model, x = nn.Sequential(nn.Linear(64, 64), nn.ReLU()).eval(), torch.randn(4, 64)
    with torch.no_grad():
        assert jo.optimize(model, x).apply("openvino", keep="always").accepted
    assert signal_stack().address == before


def test_a_stack_that_something_else_set_is_put_back() -> None:
    found: list[Any] = []

    def exchanged() -> None:
        import ctypes

        from jupyter_optim.techniques.engines.signal_stack import SignalStack, _set

        room = ctypes.create_string_buffer(1 << 16)
        found.append(signal_stack().address)
        with signal_stack_kept():
            assert _set(SignalStack(ctypes.addressof(room), 0, len(room)))
            assert signal_stack().address == ctypes.addressof(room)
        found.append(signal_stack().address)

    thread = threading.Thread(target=exchanged)
    thread.start()
    thread.join()
    assert found == [None, None]
