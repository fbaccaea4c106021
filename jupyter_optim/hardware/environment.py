"""The machine and the software that figures belong to."""

from __future__ import annotations

import functools
import platform
import sys
from importlib import metadata
from pathlib import Path

import psutil
import torch

from jupyter_optim.hardware.isa import isa
from jupyter_optim.hardware.nvml import gpus
from jupyter_optim.report import Environment, Gpu

_LIBRARIES = ("jupyter-optim", "torchao", "torch-pruning", "transformers", "ipykernel", "jupyterlab")


def environment() -> Environment:
    """What this process runs on, now: the thread counts are the user's to change."""
    found, reason = _gpus()
    return Environment(
        cpu_model=cpu_model(), physical_cores=psutil.cpu_count(logical=False), logical_cores=psutil.cpu_count(),
        threads=torch.get_num_threads(), interop_threads=torch.get_num_interop_threads(), isa=isa(),
        memory_bytes=psutil.virtual_memory().total, gpus=found, gpu_reason=reason,
        os=f"{platform.system()} {platform.machine()}", python=".".join(map(str, sys.version_info[:3])),
        torch=str(torch.__version__), libraries=_versions(),
    )  # fmt: skip


@functools.cache
def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """GPUs do not come and go while a process lives."""
    return gpus()


@functools.cache
def cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or None


@functools.cache
def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
