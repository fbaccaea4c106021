"""A report of a trace file, with its findings."""

from __future__ import annotations

from os import PathLike

from msgspec.structs import replace

from jupyter_optim.analysis.findings import find
from jupyter_optim.privacy import private
from jupyter_optim.profiling.trace_report import report_of_trace
from jupyter_optim.report import Report


def open_trace(path: str | PathLike[str], *, with_paths: bool = False) -> Report:
    """A report of a Chrome trace that ``torch.profiler`` wrote, ``.json`` or ``.json.gz``, on any machine.

    Figures are of one profiler step, where the trace has steps (`torch.profiler.profile.step`), else of all of it.

    Args:
        path: the file.
        with_paths: leave paths and names in the report that the trace tells.

    Raises:
        InvalidReport: it cannot be read, is broken, or is no such trace; the message says which.
    """
    report = report_of_trace(path)
    report = replace(report, findings=find(report))
    return report if with_paths else private(report)
