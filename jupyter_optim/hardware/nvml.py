"""NVIDIA's management library: one gate, so that a missing sensor is "not available" everywhere.

A question that the driver does not support, forbids or gets wrong is answered with a `Refusal` that says why;
nothing here raises, and nothing here is 0 because it is not known.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from jupyter_optim.report import Gpu

_WORDS = {
    3: "this GPU or its driver does not tell",
    4: "the driver forbids it to this user",
    9: "NVIDIA's driver is not loaded",
    12: "NVIDIA's driver is not installed: its library libnvidia-ml was not found",
    13: "the installed driver is too old to tell",
    15: "the GPU no longer answers (GPU is lost): a restart of the machine brings it back",
    16: "the GPU must be reset before it answers",
    18: "the driver's kernel module and its library are of different versions: restart the machine",
}
"""By NVML's return code (nvml.h, `nvmlReturn_t`): what it means to a reader."""

_FINAL = frozenset({1, 2, 3, 4, 9, 12, 13, 15, 16, 18, 25, 26})
"""Codes that will not change while the process lives: asking again is for nothing."""

_NOT_AVAILABLE = frozenset({2**64 - 1, 2**32 - 1})
"""`NVML_VALUE_NOT_AVAILABLE` as a long and as an int: seen as memory under WSL and MIG."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer."""

    reason: str
    final: bool
    """Whether asking again is for nothing."""


class Nvml:
    """The management library, open from `with` to its end; `reason` says why it could not be opened.

    The driver counts how often it was opened, so another user of it in this process is not disturbed. It may be
    used from any thread.
    """

    def __init__(self) -> None:
        self.reason: str | None = "NVIDIA's driver was not asked"
        self._library: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Nvml:
        """Open the library if it is not; see `reason` for what came of it."""
        with self._lock:
            if self._library is None:
                self.reason = self._open()
        return self

    def _open(self) -> str | None:
        try:
            import pynvml  # noqa: PLC0415 (loads the driver's library)
        except ImportError as error:
            return f"the package nvidia-ml-py is not installed ({error})"
        self._library = pynvml
        answer = self.ask("nvmlInit")
        if isinstance(answer, Refusal):
            self._library = None
            return answer.reason
        return None

    def close(self) -> None:
        """Close the library; once more does nothing."""
        with self._lock:
            if self._library is not None:
                self.ask("nvmlShutdown")
                self._library, self.reason = None, "NVIDIA's driver is no longer asked"

    def ask(self, question: str, *args: Any) -> Any:
        """The driver's answer to the function of this name, or a `Refusal`."""
        library = self._library
        if library is None:
            return Refusal(self.reason or "NVIDIA's driver is not open", final=True)
        function = getattr(library, question, None)
        if function is None:
            return Refusal(f"the installed nvidia-ml-py does not know {question}", final=True)
        try:
            return function(*args)
        except library.NVMLError as error:
            return refusal(error.value, str(error))
        except (AttributeError, TypeError, ValueError, OSError) as error:
            # a name that is no UTF-8, a struct of another version
            return Refusal(f"the driver's answer could not be read: {error}", final=False)

    def count(self) -> int | Refusal:
        """How many GPUs the driver tells of."""
        answer = self.ask("nvmlDeviceGetCount")
        return answer if isinstance(answer, Refusal) else int(answer)

    def driver(self) -> str | Refusal:
        """Version of the driver."""
        return worded(self.ask("nvmlSystemGetDriverVersion"))


def refusal(code: int, message: str) -> Refusal:
    """What NVML's return code `code` means."""
    return Refusal(_WORDS.get(code, message), final=code in _FINAL)


def text(answer: Any) -> str | None:
    """An answer that is text; older drivers answer in bytes."""
    if isinstance(answer, bytes):
        return answer.decode(errors="replace") or None
    return answer or None if isinstance(answer, str) else None


def worded(answer: Any) -> str | Refusal:
    """An answer that shall be text, or why it is none."""
    if isinstance(answer, Refusal):
        return answer
    return text(answer) or Refusal("the driver answers with an empty text", final=False)


def number(value: float, *, zero: bool) -> float | Refusal:
    """`value`, unless it is one of the driver's signs for "not available".

    Args:
        value: as the driver gave it.
        zero: whether 0 can be true, as it can for a utilisation, and cannot for a power.
    """
    if value in _NOT_AVAILABLE:
        return Refusal("the driver answers that the value is not available", final=False)
    if value == 0 and not zero:
        return Refusal("the driver answers 0, which cannot be", final=False)
    return value


def gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """All GPUs that the driver tells of, and why there are none or some of them say little."""
    with Nvml() as nvml:
        count = nvml.count()
        if isinstance(count, Refusal):
            return (), nvml.reason or count.reason
        driver = nvml.driver()
        described = [_gpu(nvml, index, driver) for index in range(count)]
    if not described:
        return (), "NVIDIA's driver counts no GPU"
    notes = [note for _, note in described if note]
    return tuple(gpu for gpu, _ in described), "; ".join(notes) or None


def mig_is_on(nvml: Nvml, handle: Any) -> bool:
    """Whether the GPU is cut into slices (MIG): its counters are then of the whole, not of ours."""
    answer = nvml.ask("nvmlDeviceGetMigMode", handle)
    return not isinstance(answer, Refusal) and answer[0] == 1


def _gpu(nvml: Nvml, index: int, driver: str | Refusal) -> tuple[Gpu, str | None]:
    """One GPU, and what is to be said of it."""
    handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
    if isinstance(handle, Refusal):
        return Gpu(
            index=index, name=None, uuid=None, memory_bytes=None, driver=text(driver)
        ), f"GPU {index}: {handle.reason}"
    missing: dict[str, list[str]] = {}

    def known(what: str, answer: Any) -> Any:
        if not isinstance(answer, Refusal):
            return answer
        missing.setdefault(answer.reason, []).append(what)
        return None

    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    total = memory if isinstance(memory, Refusal) else number(memory.total, zero=False)
    size = known("memory", total)
    gpu = Gpu(
        index=index, name=known("name", worded(nvml.ask("nvmlDeviceGetName", handle))),
        uuid=known("UUID", worded(nvml.ask("nvmlDeviceGetUUID", handle))),
        memory_bytes=None if size is None else int(size), driver=known("driver version", driver),
    )  # fmt: skip
    notes = [f"no {' or '.join(what)}: {reason}" for reason, what in missing.items()]
    if mig_is_on(nvml, handle):
        notes.insert(0, "cut into slices (MIG)")
    return gpu, f"GPU {index}: {', '.join(notes)}" if notes else None
