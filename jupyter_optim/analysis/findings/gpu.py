"""What the accelerator did, and what kept it from doing more."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import HOT, Rule, severity_of
from jupyter_optim.report import Finding, GpuTime, Idle, IdleReason, Report

_COPIES = 0.05
_ON_CORES = 0.5
_FEW_BLOCKS = 1.0
_THIRD = 0.3
_NAME = 60
"""Letters of a kernel's name that are shown."""


def waits_for_launches(report: Report) -> Iterator[Finding]:
    """A host that is slower than the accelerator."""
    gpu, idle = _idle(report, "launch")
    if gpu is None or idle is None or idle.share < HOT:
        return
    each_us = gpu.busy_ms / gpu.launches * 1e3 if gpu.launches else 0.0
    yield _finding(
        "launch-bound", idle.share, f"The GPU waits for its next kernel {idle.share:.0%} of the time",
        f"The host launches {gpu.launches:,.0f} kernels one by one, of {each_us:,.3g} us each, and is not fast enough. "
        'Larger batches help, or `torch.compile(model, mode="reduce-overhead")`, which replays them as one graph '
        f"(the technique `compile`): without that wait, a call would be {_at_most(idle.share)} as fast.",
        _where(idle),
    )  # fmt: skip


def waits_for_the_host(report: Report) -> Iterator[Finding]:
    """A host that waits for results before it goes on."""
    _, idle = _idle(report, "synchronisation")
    if idle is None or idle.share < HOT:
        return
    place = f"at {idle.line}" if idle.line else f"before `{idle.op}`" if idle.op else "in this call"
    yield _finding(
        "synchronisation", idle.share, f"The GPU stands still {idle.share:.0%} of the time because the host waited for it",
        f"Something {place} asks for a result, and nothing is launched until it is there: `.item()`, `.cpu()`, `print` "
        "of a tensor, an `if` on one, indexing with a mask. Keep values on the GPU, or read them once after many steps: "
        f"at most {_at_most(idle.share)}.",
        _where(idle),
    )  # fmt: skip


def waits_for_data(report: Report) -> Iterator[Finding]:
    """An accelerator without a batch."""
    _, idle = _idle(report, "data loading")
    if idle is None or idle.share < HOT:
        return
    yield _finding(
        "gpu-data", idle.share, f"The GPU waits for data {idle.share:.0%} of the time",
        "The host fetches a batch meanwhile. Give the DataLoader workers (`num_workers`), `pin_memory=True`, and copy "
        f"with `non_blocking=True`: at most {_at_most(idle.share)}.",
        _where(idle),
    )  # fmt: skip


def pageable_copies(report: Report) -> Iterator[Finding]:
    """Copies from memory that the driver has to copy once more."""
    gpu = report.gpu
    slow = [each for each in gpu.copies if each.pageable] if gpu is not None else []
    length = gpu.busy_ms + gpu.idle_ms if gpu is not None else 0.0
    spent = sum(each.ms for each in slow)
    if not length or spent / length < _COPIES:
        return
    yield _finding(
        "pageable-copies", spent / length, f"Copies from pageable memory take {spent / length:.0%} of the time",
        f"{sum(each.calls for each in slow):,.0f} copies, {', '.join(each.kind for each in slow)}. From pinned memory they "
        "are some 2 times faster and run beside the host: `pin_memory=True` in the DataLoader or `tensor.pin_memory()`, "
        "and `.to(device, non_blocking=True)`.",
        (),
    )  # fmt: skip


def idle_tensor_cores(report: Report) -> Iterator[Finding]:
    """Products on the slow units."""
    gpu = report.gpu
    if gpu is None or gpu.tensor_core_share is None or gpu.tensor_core_share >= _ON_CORES:
        return
    slow = [kernel for kernel in gpu.kernels if kernel.tensor_cores is False]
    share = sum(kernel.ms for kernel in slow) / (gpu.busy_ms + gpu.idle_ms)
    if share < HOT:
        return
    yield _finding(
        "no-tensor-cores", share, f"Products outside of the tensor cores take {share:.0%} of the time",
        "They multiply numbers of a type that tensor cores do not take. bfloat16 or float16 (autocast, or the techniques "
        '`bf16` and `fp16`), or `torch.set_float32_matmul_precision("high")`, moves them there.',
        tuple(_brief(kernel.name) for kernel in slow[:3]),
    )  # fmt: skip


def small_grids(report: Report) -> Iterator[Finding]:
    """Kernels with less work than the accelerator has multiprocessors."""
    gpu = report.gpu
    if gpu is None:
        return
    small = [
        each for each in gpu.kernels if each.blocks_per_sm is not None and each.blocks_per_sm < _FEW_BLOCKS
    ]
    share = sum(each.ms for each in small) / (gpu.busy_ms + gpu.idle_ms)
    if share < _THIRD:
        return
    yield _finding(
        "small-grids", share, f"Kernels that leave multiprocessors without work take {share:.0%} of the time",
        "They start fewer blocks than the GPU has multiprocessors. A larger batch would take little more time.",
        tuple(f"{_brief(each.name)}: {each.blocks_per_sm:.2g} blocks a multiprocessor" for each in small[:3]),
    )  # fmt: skip


def _brief(name: str) -> str:
    """A kernel's name, of which libraries make a hundred letters and more."""
    return name if len(name) <= _NAME else f"{name[: _NAME * 2 // 3]}…{name[-_NAME // 3 :]}"


def _idle(report: Report, reason: IdleReason) -> tuple[GpuTime | None, Idle | None]:
    gpu = report.gpu
    return gpu, next((each for each in gpu.idle if each.reason == reason), None) if gpu is not None else None


def _at_most(share: float) -> str:
    """The speed-up if all of that time went."""
    return f"{1 / (1 - share):.2g} times" if share < 1 else "all of it"


def _where(idle: Idle) -> tuple[str, ...]:
    longest = " ".join(part for part in (idle.op, f"at {idle.line}" if idle.line else None) if part)
    return (f"{idle.gaps:,.3g} gaps in a call" + (f"; the longest ended with {longest}" if longest else ""),)


def _finding(kind: str, share: float, title: str, text: str, evidence: tuple[str, ...]) -> Finding:
    return Finding(
        kind=kind, title=title, text=text, share=share, severity=severity_of(share), evidence=evidence
    )


RULES: tuple[Rule, ...] = (
    waits_for_launches, waits_for_the_host, waits_for_data, pageable_copies, idle_tensor_cores, small_grids,
)  # fmt: skip
