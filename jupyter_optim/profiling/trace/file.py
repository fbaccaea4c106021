"""The format of a Chrome trace as PyTorch's profiler writes it, and how a file of it is read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from jupyter_optim.errors import InvalidReport

_CHUNK_BYTES = 2**18
"""Read at a time: what its events take still fits the processor's cache, which halves the time of all loops."""
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
    # of work on an accelerator, and of the driver's calls
    correlation: int = -1
    device: int = -1
    stream: int = -1
    copied: int = msgspec.field(name="bytes", default=-1)
    registers: int = msgspec.field(name="registers per thread", default=-1)
    blocks_per_sm: float = msgspec.field(name="blocks per SM", default=float("nan"))
    occupancy: float = msgspec.field(name="est. achieved occupancy %", default=float("nan"))
    launcher: int = msgspec.field(name="external id", default=-1)
    """What the oldest versions call `external_id` here."""


class Event(msgspec.Struct, gc=False):
    ph: str = ""
    cat: str = ""
    name: str = ""
    ts: float = 0.0
    dur: float = 0.0
    pid: int | str = 0
    tid: int | str = 0
    args: Args | None = None


class DeviceProperties(msgspec.Struct):
    """One GPU, as CUDA describes it."""

    id: int = 0
    name: str | None = None
    totalGlobalMem: int | None = None  # noqa: N815
    numSms: int | None = None  # noqa: N815


class _Head(msgspec.Struct):
    deviceProperties: list[DeviceProperties] = []  # noqa: N815 (the format's own name)
    computeProperties: list[DeviceProperties] = []  # noqa: N815 (its name before 2022)


class _Whole(msgspec.Struct):
    traceEvents: list[Event]  # noqa: N815


_EVENTS = b'"traceEvents": ['
_BETWEEN = b"\n  },\n  {"
"""What stands between two events as kineto writes them. No text holds a line break, and what is within an event is
indented further, so it can be nothing else."""


class TraceFile:
    """A Chrome trace, of which a part is in memory at a time: fresh memory is what reading costs most.

    Args:
        path: the file, compressed or not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def batches(self) -> Iterator[list[Event]]:
        """The events, some at a time, in the order of the file; what is not asked for is skipped unread.

        Raises:
            InvalidReport: it cannot be read, is no trace of PyTorch's profiler, or is too large for this machine's
                memory.
        """
        with _told(self._path.name), closing(_chunks(self._path)) as chunks:
            text = next(chunks)
            at = text.find(_EVENTS)
            if at < 0 or text.find(_BETWEEN, at) < 0:
                yield _whole(b"".join((text, *chunks)))
                return
            rest = text[at + len(_EVENTS) :]
            for chunk in chunks:
                cut = rest.rfind(_BETWEEN)
                if cut < 0:
                    rest = b"".join((rest, chunk, *chunks))
                    break
                yield _decoded(b"[" + rest[:cut] + b"}]", list[Event])
                rest = rest[cut + len(_BETWEEN) - 1 :] + chunk
            yield _decoded(b"{" + _EVENTS + rest, _Whole).traceEvents

    def devices(self) -> list[DeviceProperties]:
        """The GPUs that the file names."""
        with _told(self._path.name), closing(_chunks(self._path)) as chunks:
            text = next(chunks)
            head = text[: max(0, text.find(_EVENTS))].rstrip().rstrip(b",") + b"}"
            found = _devices(head) if b'Properties"' in head else None
            if found is None:
                found = _devices(b"".join((text, *chunks)))
        return found or []


_T = TypeVar("_T")


def _decoded(data: bytes, kind: type[_T]) -> _T:
    # lenient: some versions write numbers as text
    return msgspec.json.decode(data, type=kind, strict=False)


def _devices(data: bytes) -> list[DeviceProperties] | None:
    """The GPUs that are named there; None if it cannot be told: nothing hangs on them."""
    try:
        found = _decoded(data, _Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.deviceProperties or found.computeProperties


def _whole(data: bytes) -> list[Event]:
    if data[:64].lstrip()[:1] == b"[":
        return _decoded(data, list[Event])
    return _decoded(data, _Whole).traceEvents


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What goes wrong inside is told in a sentence."""
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReport(f"{name} is not a trace of PyTorch's profiler: {error}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidReport(
            f"{name} is broken: {error}. It may have been cut off while it was written."
        ) from error
    except OSError as error:
        raise InvalidReport(f"{name} cannot be read: {error.strerror or error}.") from error


def _chunks(path: Path) -> Generator[bytes, None, None]:
    """The contents, unpacked, some at a time: a compressed file may hold a thousand times its size."""
    room = psutil.virtual_memory().available // _MEMORY_PER_BYTE
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if path.stat().st_size > room:
        raise _too_large(path, room)
    size = 0
    with gzip.open(path) if packed else path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if not size and not chunk[:64].strip():
                break
            size += len(chunk)
            if size > room:
                raise _too_large(path, room)
            yield chunk
    if not size:
        raise InvalidReport(f"{path.name} is empty.")


def _too_large(path: Path, room: int) -> InvalidReport:
    return InvalidReport(
        f"{path.name} holds more than {room / 1e9:.1f} GB, more than this machine's free memory allows to read."
    )
