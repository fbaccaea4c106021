"""From figures to sentences: what is worth knowing, each with its share and its evidence."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_optim.analysis.groups import OUTSIDE, TimeGroup, time_groups
from jupyter_optim.analysis.roofline import bound_of, bound_words, most_gain
from jupyter_optim.report import Finding, Report, Severity

_HOT = 0.10
_IDLE = 0.25
_WORTH_NAMING = 0.01
_WAITING = 0.2
_MANY_OPS = 50
_IN_SYSTEM = 0.15
_MANY_FAULTS = 500
_BUSY_PERCENT = 30
_MOST_OF_MEMORY = 0.4
_WORTH_SAYING = 1.05


def find(report: Report) -> tuple[Finding, ...]:
    """All findings of a report, those with the largest share first; matters of hygiene come last."""
    rules: tuple[Callable[[Report], list[Finding]], ...] = (
        _hot_groups,
        _overhead,
        _waiting_for_data,
        _many_optimizer_ops,
        _memory_kept,
        _page_faults,
        _disturbed,
        _train_mode,
        _gradients,
        _shapes,
        _others,
    )
    found = [finding for rule in rules for finding in rule(report)]
    return tuple(sorted(found, key=lambda finding: -(finding.share or 0.0)))


def _severity(share: float) -> Severity:
    return "high" if share >= 0.5 else "medium" if share >= 0.2 else "low"


def _hot_groups(report: Report) -> list[Finding]:
    groups = [g for g in time_groups(report.ops, report.modules) if g.share >= _HOT and g.label != OUTSIDE]
    return [_hot(group, report) for group in groups]


def _hot(group: TimeGroup, report: Report) -> Finding:
    calls = {row.path: row for row in report.modules}
    slowest = sorted(group.modules, key=lambda path: -calls[path].total_ms if path in calls else 0.0)
    first = slowest[0] if slowest else ""
    name = f"`{first}`" if first else "the root module"
    others = len(group.modules) - 1
    like = f"{name} and {others} like it" if others else name
    top = sorted((op for op in report.ops if op.module in group.modules), key=lambda op: -op.self_ms)
    by_op: dict[str, float] = {}
    for op in top:
        by_op[op.name] = by_op.get(op.name, 0.0) + op.share
    costly = sorted(((share, op) for op, share in by_op.items() if share >= _WORTH_NAMING), reverse=True)
    evidence = [f"{op}: {share:.0%}" for share, op in costly[:3]]
    evidence += [
        f"{path or '(root)'}: {calls[path].total_ms:.3g} ms" for path in slowest[:3] if path in calls
    ]
    where = f"{like}: {group.share:.0%} of the time" if group.class_name else (
        f"{group.label} in {like}: {group.share:.0%} of the time"
    )  # fmt: skip
    limit = _limit(group, report)
    return Finding(
        kind="hot-layers" if group.class_name else "hot-op", title=f"{group.label}: {group.share:.0%} of the time",
        text=f"{where}, {group.ms:.3g} ms a call{limit}.", share=group.share, severity=_severity(group.share),
        evidence=tuple(evidence), modules=tuple(slowest[:50]),
    )  # fmt: skip


def _limit(group: TimeGroup, report: Report) -> str:
    """What bounds the group, and the most that a remedy for it could bring."""
    ops = [op for op in report.ops if op.module in group.modules]
    bound = bound_of(ops)
    call_ms = report.trace.call_ms
    if bound is None or not call_ms:
        return ""
    most = most_gain(report.ops, frozenset(group.modules), call_ms)
    words = f"; {bound_words(*bound)}"
    if most is None or most < _WORTH_SAYING:
        return words
    return f"{words}: at the machine's peak the call would be {most:.2g}x as fast"


def _overhead(report: Report) -> list[Finding]:
    trace = report.trace
    if not trace.call_ms or trace.unattributed_ms is None:
        return []
    share = trace.unattributed_ms / trace.call_ms
    if share < _IDLE:
        return []
    calls = sum(op.calls for op in report.ops)
    return [
        Finding(
            kind="overhead", title=f"{share:.0%} of the time is in no op",
            text=f"{trace.unattributed_ms:.3g} ms of a {trace.call_ms:.3g} ms traced call pass between ops: Python, "
            f"dispatch, and the profiler itself. The model runs {calls:.0f} ops a call; larger batches or fewer, "
            "larger ops use the machine better.",
            share=share, severity=_severity(share), evidence=(f"{calls:.0f} ops a call", trace.method),
        )
    ]  # fmt: skip


def _train_mode(report: Report) -> list[Finding]:
    workload = report.workload
    if not workload.training or (workload.grad and workload.trains is not False):
        return []
    how = "and nothing was trained" if workload.grad else "with gradients off"
    return [
        Finding(
            kind="train-mode", title="The model is in train mode",
            text=f"It was called in train mode {how}: dropout is active, BatchNorm uses and changes its statistics, "
            "and most remedies are out of reach. For inference call `model.eval()` first.",
            share=None, severity="medium",
        )
    ]  # fmt: skip


def _gradients(report: Report) -> list[Finding]:
    workload = report.workload
    if workload.training or not workload.grad:
        return []
    return [
        Finding(
            kind="gradients", title="Gradients are tracked",
            text="It was called in eval mode with gradients on: every activation is kept for a backward pass. Put "
            "the call under `with torch.inference_mode():` to save that memory and some time.",
            share=None, severity="low",
        )
    ]  # fmt: skip


def _shapes(report: Report) -> list[Finding]:
    count = len(report.workload.signatures)
    if count < 2:
        return []
    measured = next((s for s in report.workload.signatures if s.measured), None)
    return [
        Finding(
            kind="shapes", title=f"{count} kinds of input",
            text=f"The cell called the model with {count} combinations of shapes and types. The figures are for "
            f"the one that took the most time: {measured.text if measured else 'unknown'}.",
            share=None, severity="info", evidence=tuple(f"{s.text}: {s.calls} calls" for s in report.workload.signatures[:5]),
        )
    ]  # fmt: skip


def _others(report: Report) -> list[Finding]:
    others = report.workload.others
    if not others:
        return []
    words = ", ".join(f"`{each.model}` ({each.calls} calls, {each.total_ms:.3g} ms)" for each in others[:5])
    return [
        Finding(
            kind="other-models", title=f"{len(others) + 1} models were called",
            text=f"The figures are those of `{report.workload.model}`, which took the most time or was named. Called "
            f"too: {words}. To measure another one, name it: `%%optimize NAME`.",
            share=None, severity="info",
        )
    ]  # fmt: skip


def _waiting_for_data(report: Report) -> list[Finding]:
    training = report.training
    data = next((phase for phase in training.phases if phase.name == "data"), None) if training else None
    if training is None or data is None or data.share < _WAITING:
        return []
    return [
        Finding(
            kind="data-loading", title=f"{data.share:.0%} of a training step waits for data",
            text=f"{data.ms:.3g} ms of each step's {training.step_ms:.3g} ms pass in the DataLoader. Give it worker "
            "processes (`num_workers`), move transformations out of the loop, or keep the data in memory.",
            share=None, severity="high" if data.share >= 0.5 else "medium", evidence=(training.method,),
        )
    ]  # fmt: skip


def _many_optimizer_ops(report: Report) -> list[Finding]:
    training = report.training
    phase = next((each for each in training.phases if each.name == "optimizer"), None) if training else None
    if training is None or phase is None or phase.share < _HOT or (phase.ops or 0) < _MANY_OPS:
        return []
    return [
        Finding(
            kind="optimizer-ops", title=f"The optimizer runs {phase.ops:.0f} small ops in each step",
            text=f"They take {phase.share:.0%} of a step, {phase.ms:.3g} ms. Most of torch's optimizers do the same in "
            "one op for all weights: `fused=True`, or `foreach=True`.",
            share=None, severity="medium", evidence=(training.method,),
        )
    ]  # fmt: skip


def _memory_kept(report: Report) -> list[Finding]:
    """Activations that hold most of the memory, though nothing will go backward through them."""
    memory, workload = report.memory, report.workload
    held = next((each.bytes for each in memory.at_peak if each.kind == "activations"), 0)
    if (
        not memory.peak_bytes
        or held < _MOST_OF_MEMORY * memory.peak_bytes
        or not workload.grad
        or workload.trains
    ):
        return []
    return [
        Finding(
            kind="memory-for-gradients", title=f"{held / memory.peak_bytes:.0%} of the memory is kept for gradients",
            text=f"{held / 1e6:.3g} MB of the {memory.peak_bytes / 1e6:.3g} MB at the peak are activations that wait for "
            "a backward pass. Without one, `with torch.inference_mode():` lets each go when it was used.",
            share=None, severity="medium", modules=tuple(each.module for each in memory.holders[:5] if each.module),
        )
    ]  # fmt: skip


def _page_faults(report: Report) -> list[Finding]:
    """Memory that is freed after each call and mapped anew in the next one."""
    seen, calls = report.hardware.samples, report.hardware.calls
    if seen is None or not calls or seen.process.system_share is None or seen.process.minor_faults is None:
        return []
    share, faults = seen.process.system_share, seen.process.minor_faults / calls
    if share < _IN_SYSTEM or faults < _MANY_FAULTS:
        return []
    return [
        Finding(
            kind="page-faults", title=f"{share:.0%} of the CPU time goes to the operating system",
            text=f"Each call touches {faults:,.0f} pages for the first time: large results are freed, given back, and "
            "mapped anew by the next call. An allocator that keeps them (jemalloc or tcmalloc by LD_PRELOAD, or glibc's "
            "MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ set high before Python starts) spares that.",
            share=None, severity="medium", evidence=("getrusage, during the clean timing",),
        )
    ]  # fmt: skip


def _disturbed(report: Report) -> list[Finding]:
    seen = report.hardware.samples
    others = None if seen is None else seen.others_percent
    if others is None or others < _BUSY_PERCENT:
        return []
    return [
        Finding(
            kind="busy-machine", title="Other programs were busy meanwhile",
            text=f"They took {others:.0f}% of a core while this was timed, so times and predictions may be off. For "
            "figures to rely on, run the cell again when the machine is quiet.",
            share=None, severity="info",
        )
    ]  # fmt: skip
