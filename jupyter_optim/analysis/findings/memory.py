"""What holds the memory."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.report import Finding, Report

_MOST_OF_MEMORY = 0.4


def kept_for_gradients(report: Report) -> Iterator[Finding]:
    """Activations that hold most of the memory, though nothing will go backward through them."""
    memory, workload = report.memory, report.workload
    held = next((each.bytes for each in memory.at_peak if each.kind == "activations"), 0)
    if not memory.peak_bytes or not workload.grad or workload.trains:
        return
    share = held / memory.peak_bytes
    if share < _MOST_OF_MEMORY:
        return
    yield remark(
        "memory-for-gradients", f"{share:.0%} of the memory is kept for gradients",
        f"{held / 1e6:.3g} MB of the {memory.peak_bytes / 1e6:.3g} MB at the peak are activations that wait for "
        "a backward pass. Without one, `with torch.inference_mode():` lets each go when it was used.",
        "medium", modules=tuple(each.module for each in memory.holders[:5] if each.module),
    )  # fmt: skip


RULES: tuple[Rule, ...] = (kept_for_gradients,)
