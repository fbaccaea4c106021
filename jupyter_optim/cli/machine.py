"""Of the doctor: processor, GPUs, and energy counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil

from jupyter_optim.cli.examined import Examined, version_of
from jupyter_optim.hardware.isa import isa
from jupyter_optim.hardware.nvml import gpus
from jupyter_optim.hardware.rapl import Rapl

_MATRIX_UNITS = (
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "neon",
    "sve",
    "bf16",
    "i8mm",
)


def processor() -> Iterator[Examined]:
    """Cores, memory, and what makes int8 and bfloat16 fast."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count()
    memory = psutil.virtual_memory().total / 1e9
    yield Examined("processor", True, f"{cores} cores, {memory:.0f} GB of memory")
    units = [name for name in isa() if name in _MATRIX_UNITS]
    words = ", ".join(units) or "none that this package knows: int8 and bfloat16 may be slower than float32"
    yield Examined("matrix units", bool(units), words)


def gpu() -> Iterator[Examined]:
    """NVIDIA's driver, and whether PyTorch can use what it shows."""
    found, reason = gpus()
    names = ", ".join(each.name or "a GPU without a name" for each in found)
    yield Examined("NVML", bool(found), f"{names}{f' ({reason})' if reason else ''}" if found else str(reason),
                   "" if found else "on a machine with an NVIDIA GPU: install NVIDIA's driver")  # fmt: skip
    if version_of("torch") is None:
        return
    try:
        torch = _torch()
        usable, built_for = torch.cuda.is_available(), torch.version.cuda
    except Exception as error:  # noqa: BLE001 (an edge: a broken installation raises what it likes, also OSError)
        yield Examined("CUDA", False, f"PyTorch cannot be imported: {error}", "pip install --force-reinstall torch",
                       needed=True)  # fmt: skip
        return
    if usable:
        yield Examined("CUDA", True, f"{torch.cuda.get_device_name()}, by a PyTorch for CUDA {built_for}")
    elif built_for is None:
        remedy = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"
        yield Examined("CUDA", False, "this PyTorch is a build for the CPU", remedy if found else "")
    else:
        remedy = "nvidia-smi (it shows whether the driver is new enough)" if found else ""
        yield Examined("CUDA", False, f"PyTorch is built for CUDA {built_for}, and finds no GPU", remedy)


def energy() -> Iterator[Examined]:
    """The counters of the CPU's energy."""
    counters = Rapl()
    if counters.reason is None:
        yield Examined("RAPL", True, f"energy counters of {counters.packages} CPU package(s)")
        return
    words, _, remedy = counters.reason.partition("`")
    command, _, rest = remedy.partition("`")
    yield Examined(
        "RAPL", False, f"{words.rstrip(' ;,')}{rest}" if not command else words.rstrip(" ;,"), command
    )


def _torch() -> Any:
    import torch  # noqa: PLC0415 (takes seconds, and all else is told without)

    return torch
