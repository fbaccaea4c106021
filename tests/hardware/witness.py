"""Run in a process of its own, on a stub of NVML: says as JSON what our code makes of the machine."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from typing import Any

import msgspec

from jupyter_optim.hardware.energy import gpu_energy
from jupyter_optim.hardware.environment import environment
from jupyter_optim.hardware.match import Match, known
from jupyter_optim.hardware.nvml import Nvml
from jupyter_optim.hardware.sampler import Sampler
from jupyter_optim.hardware.vitals import Vitals


def work() -> int:
    """Stands for model calls."""
    time.sleep(0.02)
    return 4


def everything() -> dict[str, Any]:
    """What a report would be made of."""
    found: dict[str, Any] = {"environment": environment()}
    with Sampler(interval_s=0.02) as sampler:
        time.sleep(1.5 if os.environ["NVML_STUB"] == "lost-later" else 0.4)
    found["samples"] = sampler.samples
    with Sampler(interval_s=0.02) as brief:
        time.sleep(0.05)
    found["brief samples"] = brief.samples
    return {**found, "known": _known(), **metered(0.15)}


def metered(seconds: float) -> dict[str, Any]:
    """Energy, and the machine's own account of it."""
    with Nvml() as nvml:
        is_slice = bool(nvml.reason is None and known(nvml, 0).slices)
        where = Match(0, is_slice=is_slice) if nvml.reason is None else Match(None, nvml.reason)
        reading = gpu_energy(work, nvml, where, seconds=seconds)
        ended = time.clock_gettime(time.CLOCK_MONOTONIC)
    library = ctypes.CDLL("libnvidia-ml.so.1")
    library.stub_began.restype = ctypes.c_double
    return {
        "energy": reading, "ended_s": ended - library.stub_began(), "still_open": library.stub_opened(),
        "threads": threading.active_count(),
    }  # fmt: skip


def _known() -> Any:
    with Nvml() as nvml:
        return known(nvml, 0)


def vitals() -> dict[str, Any]:
    """What the hardware panel would show, after the machine has lived for a while."""
    looking = Vitals()
    looking.start()
    time.sleep(1.5 if os.environ["NVML_STUB"] == "lost-later" else 0.1)
    found = {"sensors": looking.read(), "gpus": looking.gpus, "gpu_reason": looking.gpu_reason}
    looking.close()
    return found


MAKE = {"all": everything, "energy": lambda: metered(1.0), "vitals": vitals}

if __name__ == "__main__":
    print(json.dumps(msgspec.to_builtins(MAKE[sys.argv[1]]())))
