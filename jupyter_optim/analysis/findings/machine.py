"""What the machine did while the call was timed."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.report import Finding, Report

_IN_SYSTEM = 0.15
_MANY_FAULTS = 500
_BUSY_PERCENT = 30


def page_faults(report: Report) -> Iterator[Finding]:
    """Memory that is freed after each call and mapped anew in the next one."""
    seen, calls = report.hardware.samples, report.hardware.calls
    if seen is None or not calls or seen.process.system_share is None or seen.process.minor_faults is None:
        return
    share, faults = seen.process.system_share, seen.process.minor_faults / calls
    if share < _IN_SYSTEM or faults < _MANY_FAULTS:
        return
    yield remark(
        "page-faults", f"{share:.0%} of the CPU time goes to the operating system",
        f"Each call touches {faults:,.0f} pages for the first time: large results are freed, given back, and "
        "mapped anew by the next call. An allocator that keeps them (jemalloc or tcmalloc by LD_PRELOAD, or glibc's "
        "MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ set high before Python starts) spares that.",
        "medium", evidence=("getrusage, during the clean timing",),
    )  # fmt: skip


def disturbed(report: Report) -> Iterator[Finding]:
    """Other programs that were busy meanwhile."""
    seen = report.hardware.samples
    others = None if seen is None else seen.others_percent
    if others is None or others < _BUSY_PERCENT:
        return
    yield remark(
        "busy-machine", "Other programs were busy meanwhile",
        f"They took {others:.0f}% of a core while this was timed, so times and predictions may be off. For "
        "figures to rely on, run the cell again when the machine is quiet.",
        "info",
    )  # fmt: skip


RULES: tuple[Rule, ...] = (page_faults, disturbed)
