"""Run in a process of its own, on a stub of NVML: a whole report, of a model on the CPU, and as if it were on the GPU.

torch knows no GPU here, so the model always computes on the CPU. For the second report, torch's answers about its
device are made up, and what the report asks about the model's device is asked about that one: which of the driver's
GPUs it is, how it did, what it took.
"""

from __future__ import annotations

import ctypes
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.hardware.energy import energy_of
from jupyter_optim.hardware.match import watched
from jupyter_optim.profiling import clean
from jupyter_optim.report import Report

UUIDS = {"mig": "11111111-aaaa-bbbb-cccc-111111111111", "two": "87654321-aaaa-bbbb-cccc-123456789abc"}
"""What torch says that its only GPU is, by machine."""
USUAL = "12345678-aaaa-bbbb-cccc-123456789abc"


class Slow(nn.Module):
    """A call takes long enough for a GPU to be lost meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 8)
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return self.scale * self.layer(x).relu()


def restart() -> None:
    """The stub's clock begins anew: it decides when a GPU is lost."""
    ctypes.CDLL("libnvidia-ml.so.1").stub_restart()


def on_gpu(machine: str) -> ExitStack:
    """What is asked about the model's device is asked about torch's first GPU."""

    def properties(device: Any) -> Any:
        return SimpleNamespace(uuid=UUIDS.get(machine, USUAL), name="a GPU")

    def watched_there(device: torch.device) -> Any:
        restart()
        return watched(torch.device("cuda", 0))

    def metered_there(loop: Any, device: torch.device, **options: Any) -> Any:
        restart()
        return energy_of(loop, "cuda:0", seconds=0.3, **options)

    faked = ExitStack()
    faked.enter_context(mock.patch.object(torch.cuda, "get_device_properties", properties))
    faked.enter_context(mock.patch.object(clean, "watched", watched_there))
    faked.enter_context(mock.patch.object(clean, "energy_of", metered_there))
    return faked


def reports(machine: str) -> dict[str, Report]:
    """One of a model on the CPU, and one of it on the GPU."""
    torch.set_num_threads(1)  # on a busy machine, small ops wait long for each other's threads
    model, x = Slow().eval(), torch.ones(4, 64)
    # what would make the model faster is not asked here, and takes seconds to find
    with torch.inference_mode(), mock.patch("jupyter_optim.session.session.techniques", return_value=()):
        on_cpu = jo.optimize(model, x).report
        with on_gpu(machine):
            found = jo.optimize(model, x).report
    place = msgspec.structs.replace(found.workload, device="cuda:0")
    return {"cpu": on_cpu, "gpu": msgspec.structs.replace(found, workload=place)}


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    for name, report in reports(sys.argv[1]).items():
        for ending in ("txt", "html", "json"):
            report.save(folder / f"{name}.{ending}")
