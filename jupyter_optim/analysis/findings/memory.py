"""What holds the memory."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.report import Finding, HolderKind, Report

_MOST_OF_MEMORY = 0.4
_HOG = 0.25
"""What one op of one module holds of the peak, to be worth a sentence."""

_WORTH_BYTES = 10_000_000
"""Memory of less than this is nobody's trouble."""

_HELP: dict[HolderKind, str] = {
    "activations": "A smaller batch holds less. In a training, `torch.utils.checkpoint` around the block computes it "
    "again instead of keeping it, and autocast halves it.",
    "temporaries": "It is needed for a moment only: in parts (`torch.chunk` over the batch), or in place, it takes less.",
    "gradients": "`optimizer.zero_grad(set_to_none=True)` before the forward pass frees them for its activations; "
    "accumulating over smaller batches makes them no larger.",
    "optimizer state": "Adam keeps two numbers for each weight. SGD keeps one or none, Adafactor far less, and optimizers "
    "with 8-bit state a quarter.",
    "other tensors": "Delete what is not needed any more (`del`), or make it later.",
}
_SCORES = ("softmax", "bmm", "baddbmm")
_SDPA = "If it is the scores of an attention, `torch.nn.functional.scaled_dot_product_attention` does not keep them."


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


def hogs(report: Report) -> Iterator[Finding]:
    """One op of one module whose results hold a large part of the peak."""
    peak = report.memory.peak_bytes
    holder = max(report.memory.holders, key=lambda each: each.bytes, default=None)
    if not peak or holder is None or holder.op is None or holder.kind not in _HELP:
        return
    share = holder.bytes / peak
    if share < _HOG or holder.bytes < _WORTH_BYTES:
        return
    place = f" of `{holder.module}`" if holder.module else ""
    at = f" at {holder.line}" if holder.line else ""
    scores = any(part in holder.op for part in _SCORES)
    yield remark(
        "memory-hog", f"`{holder.op}`{place} holds {share:.0%} of the memory at the peak",
        f"{holder.bytes / 1e6:.3g} MB in {holder.blocks} block{'s' * (holder.blocks != 1)}{at}, {holder.kind}. "
        + (_SDPA if scores else _HELP[holder.kind]),
        "medium", evidence=(report.memory.method,), modules=(holder.module,) if holder.module else (),
    )  # fmt: skip


def training_hogs(report: Report) -> Iterator[Finding]:
    """What holds most of a training's memory besides the weights."""
    training = report.training
    peak = training.peak_bytes if training is not None else None
    held = [each for each in training.at_peak if each.kind in _HELP] if training is not None else []
    largest = max(held, key=lambda each: each.bytes, default=None)
    if not peak or largest is None:
        return
    share = largest.bytes / peak
    if share < _MOST_OF_MEMORY or largest.bytes < _WORTH_BYTES:
        return
    yield remark(
        "training-memory", f"{share:.0%} of the training's memory is {largest.kind}",
        f"{largest.bytes / 1e6:.3g} MB of {peak / 1e6:.3g} MB at the peak. {_HELP[largest.kind]}", "medium",
    )  # fmt: skip


RULES: tuple[Rule, ...] = (kept_for_gradients, hogs, training_hogs)
