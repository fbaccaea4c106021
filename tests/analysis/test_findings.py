"""Findings: their order, and when there is one."""

from __future__ import annotations

import msgspec
import pytest

from jupyter_optim.analysis.findings import find
from jupyter_optim.report import Finding, Phase, Report, Training, Unseen, Worker
from tests.render.samples import all_samples, bert

LOADERS = Worker(name="DataLoader worker", process=True, cpu_s=1.4, count=2)
THREAD = Worker(name="fetch", process=False, cpu_s=0.3, count=1)
COMPILER = Worker(name="cc1plus", process=True, cpu_s=0.2, count=3)
SHORT = Worker(name="short-lived processes", process=True, cpu_s=0.2)


def report_with(*workers: Worker, share: float | None = 0.35, waits: float | None = None) -> Report:
    training = None
    if waits is not None:
        data = Phase(name="data", ms=waits * 10, share=waits, ops=4)
        training = Training(steps=5, step_ms=10, phases=(data,), method="profiler")
    cpu_s = sum(worker.cpu_s for worker in workers)
    unseen = Unseen(workers=workers, cpu_s=cpu_s, share=share, method="clocks")
    return msgspec.structs.replace(bert(), unseen=unseen, training=training)


def unseen_work(report: Report) -> Finding | None:
    return next((finding for finding in find(report) if finding.kind == "unseen-work"), None)


@pytest.mark.parametrize("name", list(all_samples()))
def test_the_grave_ones_come_first_and_then_those_with_the_largest_share(name: str) -> None:
    found = find(all_samples()[name])
    grave = [finding for finding in found if finding.severity == "high"]
    assert list(found[: len(grave)]) == grave
    for those in (grave, found[len(grave) :]):
        shares = [finding.share for finding in those]
        known = [share for share in shares if share is not None]
        assert known == sorted(known, reverse=True)
        assert shares == known + [None] * (len(shares) - len(known))


@pytest.mark.parametrize(
    ("workers", "title"),
    [
        ((LOADERS,), "2 DataLoader workers took 1.4 s"),
        ((LOADERS, THREAD), "2 DataLoader workers and thread `fetch` took 1.7 s"),
        ((THREAD,), "Thread `fetch` took 0.3 s"),
        ((THREAD, COMPILER, SHORT), "Thread `fetch`, 3 processes `cc1plus` and short-lived processes took 0.7 s"),
        ((LOADERS, THREAD, COMPILER, SHORT),
         "2 DataLoader workers, thread `fetch`, 3 processes `cc1plus` and 1 more took 2.1 s"),
    ],
)  # fmt: skip
def test_work_beside_the_cell_is_named(workers: tuple[Worker, ...], title: str) -> None:
    found = unseen_work(report_with(*workers))
    assert found is not None
    assert found.title == f"{title} of CPU time beside the cell"
    assert "35% of the CPU time of the cell's run" in found.text


@pytest.mark.parametrize(
    ("waits", "advice"),
    [
        (None, "If the loop waits for its batches, more workers"),
        (0.1, "If the loop waits for its batches, more workers"),
        (0.31, "waits for data 31% of its time: try more workers"),
        (0.01, "fewer workers may do"),
    ],
)
def test_how_many_workers_depends_on_the_wait(waits: float | None, advice: str) -> None:
    found = unseen_work(report_with(LOADERS, waits=waits))
    assert found is not None
    assert advice in found.text
    assert "thread" not in found.text


@pytest.mark.parametrize(
    "report",
    [
        bert(),
        report_with(share=0.0),
        report_with(LOADERS, share=None),
        report_with(LOADERS, share=0.04),
        report_with(msgspec.structs.replace(THREAD, cpu_s=0.03), share=0.5),
    ],
    ids=["not watched", "nobody", "unknown share", "small share", "short run"],
)
def test_little_is_not_worth_a_finding(report: Report) -> None:
    assert unseen_work(report) is None


def test_what_an_op_could_gain_is_its_own_gain_alone() -> None:
    """Not that of all the ops of its module: without 30% of the time a call is 1.43 times as fast at most."""
    report = bert()
    ops = tuple(
        msgspec.structs.replace(
            report.ops[0],
            name=name,
            module="",
            self_ms=3.0,
            total_ms=3.0,
            share=0.3,
            bound="memory",
            of_peak=0.0,
        )
        for name in ("aten::clamp_min", "aten::max_pool2d", "aten::exp")
    )
    trace = msgspec.structs.replace(report.trace, call_ms=10.0, unattributed_ms=1.0)
    modules = tuple(
        msgspec.structs.replace(report.modules[0], path=path, class_name=name, calls=1)
        for path, name in (("", "Net"), ("fc", "Linear"))
    )
    found = [
        each
        for each in find(msgspec.structs.replace(report, ops=ops, trace=trace, modules=modules))
        if each.kind == "hot-op"
    ]
    assert len(found) == 3
    for finding in found:
        assert "1.4x as fast" in finding.text
        assert len(finding.evidence) <= 2
