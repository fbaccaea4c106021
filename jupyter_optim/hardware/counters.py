"""What the operating system counts for this process: page faults, kernel time, preemptions."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_optim.report import ProcessCounters


@dataclass(frozen=True, slots=True)
class Count:
    """The counters at one moment; None where the system keeps none (Windows)."""

    user_s: float
    system_s: float
    minor_faults: int
    major_faults: int
    preemptions: int

    @classmethod
    def now(cls) -> Count | None:
        """Read them: a microsecond."""
        try:
            import resource  # noqa: PLC0415 (not on Windows)
        except ImportError:
            return None
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime, usage.ru_stime, usage.ru_minflt, usage.ru_majflt, usage.ru_nivcsw)


def between(before: Count | None, after: Count | None) -> ProcessCounters:
    """What was counted from `before` to `after`."""
    if before is None or after is None:
        return ProcessCounters(reason="this system does not count page faults and kernel time of a process")
    user_s, system_s = after.user_s - before.user_s, after.system_s - before.system_s
    spent = user_s + system_s
    return ProcessCounters(
        user_s=user_s, system_s=system_s, system_share=system_s / spent if spent > 0 else None,
        minor_faults=after.minor_faults - before.minor_faults,
        major_faults=after.major_faults - before.major_faults,
        preemptions=after.preemptions - before.preemptions,
        reason=None if spent > 0 else "no CPU time was counted in so short a window",
    )  # fmt: skip
