"""NVIDIA's management library: one gate, so that a missing sensor is "not available" everywhere.

A call that the driver does not support, forbids or gets wrong gives None; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_optim.report import Gpu


def gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """All GPUs that the driver tells of, and why there are none or some of them say little."""
    try:
        import pynvml  # noqa: PLC0415 (loads the driver's library)
    except ImportError as error:
        return (), f"the package nvidia-ml-py is not installed ({error})"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"NVIDIA's driver did not answer: {error}"
    try:
        driver = _text(_ask(pynvml, pynvml.nvmlSystemGetDriverVersion))
        count = _ask(pynvml, pynvml.nvmlDeviceGetCount) or 0
        found = tuple(_gpu(pynvml, index, driver) for index in range(count))
    finally:
        _ask(pynvml, pynvml.nvmlShutdown)
    if not found:
        return (), "NVIDIA's driver counts no GPU"
    missing = [gpu.index for gpu in found if gpu.name is None or gpu.memory_bytes is None]
    return found, f"GPU {missing} did not answer all questions" if missing else None


def _gpu(pynvml: Any, index: int, driver: str | None) -> Gpu:
    handle = _ask(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Gpu(index=index, name=None, uuid=None, memory_bytes=None, driver=driver)
    memory = _ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        index=index, name=_text(_ask(pynvml, pynvml.nvmlDeviceGetName, handle)),
        uuid=_text(_ask(pynvml, pynvml.nvmlDeviceGetUUID, handle)),
        memory_bytes=int(memory.total) if memory is not None else None, driver=driver,
    )  # fmt: skip


def _ask(pynvml: Any, question: Callable[..., Any], *args: Any) -> Any:
    """The driver's answer, or None where it has none."""
    try:
        return question(*args)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes | None) -> str | None:
    """Older drivers answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
