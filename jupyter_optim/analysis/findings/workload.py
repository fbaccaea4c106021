"""What the cell calls, and with what."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.analysis.words import duration
from jupyter_optim.report import Finding, Report


def shapes(report: Report) -> Iterator[Finding]:
    """Inputs of several shapes, of which one was measured."""
    signatures = report.workload.signatures
    if len(signatures) < 2:
        return
    measured = next((s.text for s in signatures if s.measured), "unknown")
    yield remark(
        "shapes", f"{len(signatures)} kinds of input",
        f"The cell called the model with {len(signatures)} combinations of shapes and types. The figures are for "
        f"the one that took the most time: {measured}.",
        "info", evidence=tuple(f"{s.text}: {s.calls} calls" for s in signatures[:5]),
    )  # fmt: skip


def others(report: Report) -> Iterator[Finding]:
    """Models that were called beside the one that was measured."""
    called = report.workload.others
    if not called:
        return
    words = ", ".join(
        f"`{each.model}` ({each.calls} calls, {duration(each.total_ms)})" for each in called[:5]
    )
    yield remark(
        "other-models", f"{len(called) + 1} models were called",
        f"The figures are those of `{report.workload.model}`, which took the most time or was named. Called "
        f"too: {words}. To measure another one, name it: `%%optimize NAME`.",
        "info",
    )  # fmt: skip


RULES: tuple[Rule, ...] = (shapes, others)
