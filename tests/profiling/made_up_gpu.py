"""A made-up GPU: what a program would do there, written down as PyTorch's profiler writes it.

The host and each stream have a clock of their own. The host launches and goes on; a kernel begins when it was launched
and the one before it in its stream has ended; a wait moves the host to the end of all that was launched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = 4711
_LAUNCH_US = 4.0
_LATENCY_US = 2.0


class MadeUpGpu:
    """Call it like a program, then `save`. All times are microseconds."""

    def __init__(self, *, old: bool = False, runtime: bool = True) -> None:
        self.now = 100.0
        self.events: list[dict[str, Any]] = []
        self._ends: dict[tuple[int, int], float] = {}
        self._open: list[int] = []
        self._id = 0
        self._old = old
        self._runtime = runtime

    def _category(self, name: str) -> str:
        old = {"cpu_op": "Operator", "kernel": "Kernel", "gpu_memcpy": "Memcpy", "gpu_memset": "Memset",
               "cuda_runtime": "Runtime", "user_annotation": "Operator"}  # fmt: skip
        return old[name] if self._old else name

    def _add(
        self, category: str, name: str, at: float, length: float, lane: tuple[Any, Any], **args: Any
    ) -> None:
        self.events.append(
            {"ph": "X", "cat": self._category(category), "name": name, "pid": lane[0], "tid": lane[1],
             "ts": 1_700_000_000_000_000.0 + at, "dur": length, "args": args}
        )  # fmt: skip

    def work(self, us: float) -> None:
        """The host is busy with something of its own."""
        self.now += us

    @contextmanager
    def op(
        self, name: str, category: str = "cpu_op", thread: int = HOST, before: float = 3.0, **args: Any
    ) -> Iterator[None]:
        """An op, or a range with a name of its own; the host works `before` us in it before anything else."""
        began = self.now
        self._id += 1
        self._open.append(self._id)
        self.now += before
        try:
            yield
        finally:
            self.now += 1.0
            number = self._open.pop()
            key = "External id"
            self._add(category, name, began, self.now - began, (HOST, thread), **{key: number}, **args)

    @contextmanager
    def range(self, name: str) -> Iterator[None]:
        """A range that somebody named."""
        with self.op(name, "user_annotation", before=0.5):
            yield

    def launch(
        self, kernel: str, us: float, *, stream: int = 7, device: int = 0, occupancy: float | None = 50,
        blocks: float | None = 2.0, copied: int | None = None, thread: int = HOST,
    ) -> None:  # fmt: skip
        """Start a kernel, a copy or a fill, which takes `us` on its stream."""
        self._id += 1
        correlation = self._id
        is_copy, is_fill = kernel.startswith("Memcpy"), kernel.startswith("Memset")
        call = "cudaMemcpyAsync" if is_copy else "cudaMemsetAsync" if is_fill else "cudaLaunchKernel"
        external = "external id" if self._old else "External id"
        if self._runtime:
            self._add(
                "cuda_runtime", call, self.now, _LAUNCH_US, (HOST, thread), correlation=correlation, cbid=211
            )
        self.now += _LAUNCH_US
        began = max(self.now + _LATENCY_US, self._ends.get((device, stream), 0.0))
        args: dict[str, Any] = {"device": device, "stream": stream, "correlation": correlation, "context": 1}
        if self._open:
            args[external] = self._open[-1]
        if is_copy or is_fill:
            args["bytes"] = copied if copied is not None else 4096
        else:
            args |= {"registers per thread": 64, "shared memory": 0, "grid": [80, 1, 1], "block": [256, 1, 1]}
            if blocks is not None:
                args["blocks per SM"] = blocks
            if occupancy is not None:
                args["est. achieved occupancy %"] = occupancy
        category = "gpu_memcpy" if is_copy else "gpu_memset" if is_fill else "kernel"
        self._add(category, kernel, began, us, (device, f"stream {stream}"), **args)
        self._ends[device, stream] = began + us

    def wait(self, call: str = "cudaStreamSynchronize") -> None:
        """The host waits until all streams are done."""
        self._id += 1
        end = max(self.now + 1.0, *(each + 1.0 for each in self._ends.values()))
        if self._runtime:
            self._add("cuda_runtime", call, self.now, end - self.now, (HOST, HOST), correlation=self._id)
        self.now = end

    def contents(self) -> dict[str, Any]:
        """The file, as Python's json writes it."""
        properties = {"id": 0, "name": "Made-up GPU", "totalGlobalMem": 16 << 30}
        key = "computeProperties" if self._old else "deviceProperties"
        return {"schemaVersion": 1, key: [properties], "traceEvents": self.events}

    def save(self, path: Path) -> Path:
        """Write the trace."""
        path.write_text(json.dumps(self.contents()))
        return path
