"""A thread that watches the machine while something is timed, and knows what it costs itself.

It wakes ten times a second. What changes slowly or is slow to read (frequency, temperature, PCIe) is read once a
second. Where a machine's sensors are slow, it wakes less often, so that it stays below 1% of one core.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from jupyter_optim.hardware.counters import Count, between
from jupyter_optim.hardware.gpu import GpuProbe
from jupyter_optim.hardware.host import HostProbe
from jupyter_optim.hardware.nvml import Nvml, Refusal
from jupyter_optim.hardware.pace import Pace
from jupyter_optim.report import Samples

_SLOW_S = 1.0
_FAST_COST, _SLOW_COST = 0.006, 0.002
"""Parts of one core that reading at each of the two rates may take; waking up takes a little too."""

_PATIENCE_S = 2.0
"""A driver may hang on a lost GPU: the thread is then left behind, and ends once the driver answers."""


class Probe(Protocol):
    """Something that is sampled."""

    def start(self) -> None:
        """Rates count from here."""

    def fast(self, at_s: float) -> None:
        """What changes from call to call."""

    def slow(self, at_s: float) -> None:
        """What changes slowly, or is slow to read."""

    def finish(self) -> None:
        """What need be read only once, at the end."""


class Sampler:
    """Watches the machine from `start` to `stop`, or inside `with`; `samples` is what it saw.

    Args:
        interval_s: the time from one sample to the next.
        gpus: NVML's indices of the GPUs to watch; all of them if left out, and none for ().
    """

    def __init__(self, interval_s: float = 0.1, gpus: Sequence[int] | None = None) -> None:
        self._fast, self._slow = Pace(interval_s, _FAST_COST), Pace(_SLOW_S, _SLOW_COST)
        self._gpus = gpus
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._host = HostProbe()
        self._gpu_probes: list[GpuProbe] = []
        self._nvml = Nvml()
        self._gpu_reason: str | None = None
        self._counted: Count | None = None
        self._began_s = self._cost_s = 0.0
        self.samples: Samples | None = None
        """Everything that was seen, once it was stopped."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; a sampler that began does nothing more."""
        if self._thread is not None:
            return
        self._find_gpus()
        probes: list[Probe] = [self._host, *self._gpu_probes]
        for probe in probes:
            probe.start()
        self._counted = Count.now()
        self._began_s = time.perf_counter()
        self._thread = threading.Thread(
            target=self._run, args=(probes,), name="jupyter-optim-sampler", daemon=True
        )
        self._thread.start()

    def stop(self) -> Samples:
        """End, and say what was seen; once more gives the same.

        Raises:
            RuntimeError: it never began.
        """
        if self.samples is not None:
            return self.samples
        if self._thread is None:
            raise RuntimeError("the sampler was not started")
        window_s = time.perf_counter() - self._began_s
        counted = Count.now()
        self._ended.set()
        self._thread.join(_PATIENCE_S)
        stuck = self._thread.is_alive()
        self.samples = self._summary(window_s, counted, stuck=stuck)
        if not stuck:
            self._nvml.close()
        return self.samples

    def _find_gpus(self) -> None:
        if self._gpus is not None and not self._gpus:
            self._gpu_reason = "GPUs were not watched: the model runs on none"
            return
        count = self._nvml.open().count()
        if isinstance(count, Refusal):
            self._gpu_reason = self._nvml.reason or count.reason
            self._nvml.close()
            return
        wanted = range(count) if self._gpus is None else self._gpus
        self._gpu_probes = [GpuProbe(self._nvml, index) for index in wanted]
        if not self._gpu_probes:
            self._gpu_reason = "NVIDIA's driver counts no GPU"

    def _run(self, probes: Sequence[Probe]) -> None:
        """The thread: samples until the end, and once more then."""
        began_s = time.thread_time()

        def counted(read: Callable[[float], None]) -> Callable[[float], None]:
            def reading(at_s: float) -> None:
                read(at_s)
                self._cost_s = time.thread_time() - began_s  # at once: the next one may hang

            return reading

        fast, slow = [counted(probe.fast) for probe in probes], [counted(probe.slow) for probe in probes]
        ended = False
        while not ended:
            ended = self._ended.wait(self._fast.interval_s)
            at_s = time.perf_counter() - self._began_s
            if self._fast.due(at_s, ended=ended):
                self._fast.take(at_s, fast)
            if self._slow.due(at_s, ended=ended):
                self._slow.take(at_s, slow)
            self._cost_s = time.thread_time() - began_s
        for probe in probes:
            probe.finish()
        if self.samples is not None:
            self._nvml.close()  # stop() had given up on this thread

    def _summary(self, window_s: float, counted: Count | None, *, stuck: bool) -> Samples:
        host = self._host.samples()
        overhead_percent = 100 * self._cost_s / window_s
        every_ms = 1e3 * self._fast.interval_s
        return Samples(
            window_s=window_s, interval_s=self._fast.base_s, count=self._fast.count,
            process_cpu=host.process_cpu, cpu=host.cpu, cores=host.cores, others_percent=host.others_percent,
            steal=host.steal, rss=host.rss, memory_used=host.memory_used, frequency=host.frequency,
            temperature=host.temperature, process=between(self._counted, counted),
            gpus=tuple(probe.samples() for probe in self._gpu_probes), gpu_reason=self._gpu_reason,
            overhead_percent=overhead_percent,
            method=f"{self._fast.count} samples over {window_s:.3g} s, one each {every_ms:.3g} ms, by "
                   f"{'psutil and NVML' if self._gpu_probes else 'psutil'}; the sampling itself took "
                   f"{overhead_percent:.2g}% of a core",
            reason="a sensor did not answer any more, so the sampling broke off" if stuck else None,
        )  # fmt: skip
