"""How the cell calls the model."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.analysis.words import duration
from jupyter_optim.report import Finding, Report


def train_mode(report: Report) -> Iterator[Finding]:
    """Train mode where nothing is trained."""
    workload = report.workload
    if not workload.training or (workload.grad and workload.trains is not False):
        return
    how = "and nothing was trained" if workload.grad else "with gradients off"
    yield remark(
        "train-mode", "The model is in train mode",
        f"It was called in train mode {how}: dropout is active, BatchNorm uses and changes its statistics, "
        "and most remedies are out of reach. For inference call `model.eval()` first.",
        "medium",
    )  # fmt: skip


def gradients(report: Report) -> Iterator[Finding]:
    """Gradients that nobody will ask for."""
    if report.workload.grad and not report.workload.training:
        yield remark(
            "gradients", "Gradients are tracked",
            "It was called in eval mode with gradients on: every activation is kept for a backward pass. Put "
            "the call under `with torch.inference_mode():` to save that memory and some time.",
            "low",
        )  # fmt: skip


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


RULES: tuple[Rule, ...] = (train_mode, gradients, shapes, others)
