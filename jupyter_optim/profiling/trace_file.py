"""The format of a Chrome trace as PyTorch's profiler writes it, and how a file of it is read."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import msgspec
import psutil

from jupyter_optim.errors import InvalidReport

_MEMORY_PER_BYTE = 4
"""Memory that a file takes when it is read, its events included."""


class Args(msgspec.Struct, gc=False):
    external_id: int = msgspec.field(name="External id", default=-1)
    bytes: int = msgspec.field(name="Bytes", default=0)
    address: int = msgspec.field(name="Addr", default=0)
    device_type: int = msgspec.field(name="Device Type", default=-1)
    sequence: int = msgspec.field(name="Sequence number", default=-1)
    forward_thread: int = msgspec.field(name="Fwd thread id", default=0)
    shapes: msgspec.Raw = msgspec.field(name="Input Dims", default=msgspec.Raw())
    types: msgspec.Raw = msgspec.field(name="Input type", default=msgspec.Raw())
    concrete: msgspec.Raw = msgspec.field(name="Concrete Inputs", default=msgspec.Raw())


class Event(msgspec.Struct, gc=False):
    ph: str = ""
    cat: str = ""
    name: str = ""
    ts: float = 0.0
    dur: float = 0.0
    pid: int | str = 0
    tid: int | str = 0
    args: Args | None = None


class TraceFile(msgspec.Struct):
    """A Chrome trace as PyTorch's profiler writes it; what is not asked for is skipped unread."""

    traceEvents: list[Event]  # noqa: N815 (the format's own name)
    deviceProperties: list[DeviceProperties] = []  # noqa: N815


class DeviceProperties(msgspec.Struct):
    """One GPU, as CUDA describes it."""

    id: int = 0
    name: str | None = None
    totalGlobalMem: int | None = None  # noqa: N815
    numSms: int | None = None  # noqa: N815


def decode(path: Path) -> TraceFile:
    """The events of the Chrome trace at `path`.

    Raises:
        InvalidReport: it cannot be read, is too large for this machine's memory, or is no such trace.
    """
    name = path.name
    try:
        data = _contents(path)
        # lenient: some versions write numbers as text
        if data.lstrip()[:1] == b"[":
            return TraceFile(traceEvents=msgspec.json.decode(data, type=list[Event], strict=False))
        return msgspec.json.decode(data, type=TraceFile, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReport(f"{name} is not a trace of PyTorch's profiler: {error}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidReport(
            f"{name} is broken: {error}. It may have been cut off while it was written."
        ) from error
    except OSError as error:
        raise InvalidReport(f"{name} cannot be read: {error.strerror or error}.") from error


def _contents(path: Path) -> bytes:
    room = psutil.virtual_memory().available // _MEMORY_PER_BYTE
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        data: bytes = file.read(room + 1)
    if len(data) > room:
        raise InvalidReport(
            f"{path.name} holds more than {room / 1e9:.1f} GB, more than this machine's free memory allows to read."
        )
    if not data.strip():
        raise InvalidReport(f"{path.name} is empty.")
    return data
