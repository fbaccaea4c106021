"""A trace in the form that TensorBoard's plugin ``torch-tb-profiler`` opens, and Perfetto just as well.

The plugin finds the files of a log folder by their names, ``worker.1718000000000.pt.trace.json.gz``. For its views it
asks for steps, and for module calls as PyTorch's profiler writes them given ``with_stack``: as Python
functions that know their number, that of the call around them, and that of their module. Whatever is recorded as an
op it lists as one, so that our ranges must not be ops.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from jupyter_optim.errors import OptimError
from jupyter_optim.profiling.trace.columns import LINE_RANGE, MODULE_RANGE
from jupyter_optim.profiling.trace.steps import STEP

TRACE_ENDINGS = (".json", ".json.gz")

_OURS = (MODULE_RANGE, LINE_RANGE)
_OF_THE_MACHINE = ("host_name", "trace_id", "traceName")
"""What kineto writes of the machine, a number by chance, and the file that it wrote first; no viewer asks for them."""
_OUTSIDE = -1
"""The number of the call around a call that has none."""


def trace_file(path: Path, worker: str) -> Path:
    """Where a trace goes that is to be left at `path`.

    Args:
        path: a file, if it ends in ``.json`` or ``.json.gz`` and is no folder; else a log folder, which is made if
            it does not exist.
        worker: whose trace it is: what a file in a log folder is called first.

    Raises:
        OptimError: the folder cannot be made.
    """
    if path.name.lower().endswith(TRACE_ENDINGS) and not path.is_dir():
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptimError(f"The folder {path} cannot be made: {error.strerror or error}.") from error
    stamp = time.time_ns() // 1_000_000
    while (file := path / f"{worker}.{stamp}.pt.trace.json.gz").exists():
        stamp += 1
    return file


def leave_trace(data: bytes, file: Path) -> None:
    """Write a trace to `file`, compressed if its name says so; nobody ever sees half of it.

    Raises:
        OptimError: it cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        unfinished.write_bytes(gzip.compress(data, 6) if file.suffix == ".gz" else data)
        unfinished.replace(file)
    except OSError as error:
        raise OptimError(f"The trace cannot be written to {file}: {error.strerror or error}.") from error


def for_viewers(
    data: bytes, name_of: Callable[[str], str], clean: Callable[[str], str] | None = None
) -> bytes:
    """A trace of our recorder in which others find modules, lines and steps.

    Args:
        data: the Chrome trace as the profiler wrote it, with our ranges under their numbers.
        name_of: gives a range of ours the name that it has for others.
        clean: takes out of a text what tells of the user and the machine; None leaves all as it is.
    """
    trace = msgspec.json.decode(data)
    # kineto draws steps that are annotations once more in the lane of the GPU, and the plugin would count them twice
    events = [event for event in trace["traceEvents"] if not _is_drawn_again(event)]
    ours = [event for event in events if event.get("ph") == "X" and event["name"].startswith(_OURS)]
    for number, (event, parent) in enumerate(_nested(ours)):
        kind, _, code = event["name"].rpartition(":")
        event["cat"] = "python_function"
        event["args"] = {"Python id": number, "Python parent id": parent}
        if f"{kind}:" == MODULE_RANGE:
            event["args"]["Python module id"] = int(code)
        event["name"] = name_of(event["name"])
    for event in events:
        if event.get("cat") == "cpu_op" and event["name"].startswith(STEP):
            event["cat"] = "user_annotation"
    trace["traceEvents"] = events
    if clean is None:
        return msgspec.json.encode(trace)
    return msgspec.json.encode(
        _cleaned({key: trace[key] for key in trace if key not in _OF_THE_MACHINE}, clean)
    )


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, clean) for item in value]
    return value


def _is_drawn_again(event: dict[str, Any]) -> bool:
    return event.get("cat") == "gpu_user_annotation" and str(event.get("name")).startswith(STEP)


def _nested(events: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """The events by thread and time, each with the number, in that order, of the one around it."""
    events.sort(key=lambda event: (str(event["pid"]), str(event["tid"]), event["ts"], -event["dur"]))
    around: list[tuple[int, dict[str, Any]]] = []
    for number, event in enumerate(events):
        while around and not _within(event, around[-1][1]):
            around.pop()
        yield event, around[-1][0] if around else _OUTSIDE
        around.append((number, event))


def _within(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    same = (inner["pid"], inner["tid"]) == (outer["pid"], outer["tid"])
    return bool(same and inner["ts"] < outer["ts"] + outer["dur"])
