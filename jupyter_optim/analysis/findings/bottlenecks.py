"""Where the time of a call goes."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import HOT, Rule, severity_of
from jupyter_optim.analysis.groups import OUTSIDE, TimeGroup, time_groups
from jupyter_optim.analysis.roofline import bound_of, bound_words, most_gain
from jupyter_optim.analysis.words import duration, per
from jupyter_optim.report import Finding, Op, Report

_IDLE = 0.25
_WORTH_NAMING = 0.01
_WORTH_SAYING = 1.05


def hot_groups(report: Report) -> Iterator[Finding]:
    """Layers of a class, or ops outside of any, that take much of the time."""
    for group in time_groups(report.ops, report.modules):
        if group.share >= HOT and group.label != OUTSIDE:
            yield _hot(group, report)


def _hot(group: TimeGroup, report: Report) -> Finding:
    total_ms = {row.path: row.total_ms for row in report.modules}
    slowest = sorted(group.modules, key=lambda path: -total_ms.get(path, 0.0))
    first = slowest[0] if slowest else ""
    name = f"`{first}`" if first else "the root module"
    others = max(0, len(group.modules) - 1)
    like = f"{name} and {others} like it" if others else name if slowest else "outside of every module"
    evidence = _costly(group.ops)
    evidence += [
        f"{path or '(root)'}: {duration(total_ms[path])}" for path in slowest[:3] if path in total_ms
    ]
    where = like if group.class_name else f"{group.label} {'in ' if slowest else ''}{like}"
    return Finding(
        kind="hot-layers" if group.class_name else "hot-op", title=f"{group.label}: {group.share:.0%} of the time",
        text=f"{where}: {group.share:.0%} of the time, {duration(group.ms)} {per(report)}{_limit(group, report)}.",
        share=group.share, severity=severity_of(group.share), evidence=tuple(evidence), modules=tuple(slowest[:50]),
    )  # fmt: skip


def _costly(ops: tuple[Op, ...]) -> list[str]:
    """The ops that take most of the time, by name."""
    by_op: dict[str, float] = {}
    for op in sorted(ops, key=lambda op: -op.self_ms):
        by_op[op.name] = by_op.get(op.name, 0.0) + op.share
    costly = sorted(((share, op) for op, share in by_op.items() if share >= _WORTH_NAMING), reverse=True)
    return [f"{op}: {share:.0%}" for share, op in costly[:3]]


def _limit(group: TimeGroup, report: Report) -> str:
    """What bounds the group, and the most that a remedy for it could bring."""
    bound = bound_of(group.ops)
    call_ms = report.trace.call_ms
    if bound is None or not call_ms:
        return ""
    most = most_gain(group.ops, call_ms)
    words = f"; {bound_words(*bound)}"
    if most is None or most < _WORTH_SAYING:
        return words
    return f"{words}: at the machine's peak the call would be {most:.2g}x as fast"


def overhead(report: Report) -> Iterator[Finding]:
    """Time between ops."""
    trace = report.trace
    # where an accelerator works, what keeps it is told of that
    if not trace.call_ms or trace.unattributed_ms is None or report.gpu is not None:
        return
    share = trace.unattributed_ms / trace.call_ms
    if share < _IDLE:
        return
    calls = sum(op.calls for op in report.ops)
    yield Finding(
        kind="overhead", title=f"{share:.0%} of the time is in no op",
        text=f"{duration(trace.unattributed_ms)} of {duration(trace.call_ms)} {per(report)} pass between ops: Python, "
        f"dispatch, and the profiler itself. There are {calls:.0f} ops {per(report)}; larger batches or fewer, "
        "larger ops use the machine better.",
        share=share, severity=severity_of(share), evidence=(f"{calls:.0f} ops {per(report)}", trace.method),
    )  # fmt: skip


RULES: tuple[Rule, ...] = (hot_groups, overhead)
