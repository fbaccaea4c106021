"""What worked beside the thread that ops and lines are of, in one sentence."""

from __future__ import annotations

from jupyter_optim.analysis.findings.unseen import who
from jupyter_optim.render import format as fmt
from jupyter_optim.report import Report

_NAMED = 5


def unseen_sentence(report: Report) -> str | None:
    """How much CPU time no op and no line shows; None where that is nothing worth a word."""
    unseen = report.unseen
    if unseen is None:
        return None
    names = [f"{who(worker)} {fmt.duration(worker.cpu_s * 1e3)}" for worker in unseen.workers[:_NAMED]]
    left = len(unseen.workers) - _NAMED
    parts = []
    if names:
        more = f" and {left} more" if left > 0 else ""
        share = f" ({fmt.share(unseen.share)} of the run's)" if fmt.known(unseen.share) is not None else ""
        parts.append(f"Beside the cell, in no op and no line: {', '.join(names)}{more} of CPU time{share}.")
    if unseen.reason is not None:
        parts.append(f"Work beside the cell is not known in full: {unseen.reason}.")
    return fmt.visible(" ".join(parts)) or None
