"""Work that no op and no line shows: worker processes, and threads beside the one that was profiled."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.report import Finding, Report, Training, Worker
from jupyter_optim.report.unseen import DATA_LOADER_WORKER

_WORTH_KNOWING, _WORTH_KNOWING_S = 0.05, 0.05
_WAITING, _HARDLY_WAITING = 0.2, 0.05
_NAMED = 3
_LONGEST = 60


def beside_the_cell(report: Report) -> Iterator[Finding]:
    """Others that took much of the CPU time of the cell's run."""
    unseen = report.unseen
    if unseen is None or unseen.share is None or not unseen.workers:
        return
    if unseen.share < _WORTH_KNOWING or unseen.cpu_s < _WORTH_KNOWING_S:
        return
    busiest, more = unseen.workers[:_NAMED], len(unseen.workers) - _NAMED
    names = [who(worker) for worker in busiest] + ([f"{more} more"] if more > 0 else [])
    together = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    yield remark(
        "unseen-work", f"{together[:1].upper()}{together[1:]} took {unseen.cpu_s:.2g} s of CPU time beside the cell",
        f"That is {unseen.share:.0%} of the CPU time of the cell's run, and no op and no line shows it. "
        f"{' '.join(_advice(unseen.workers, report.training))}",
        "low", evidence=(*(f"{who(worker)}: {worker.cpu_s:.2g} s" for worker in unseen.workers), unseen.method),
    )  # fmt: skip


def who(worker: Worker) -> str:
    """``2 DataLoader workers``, ``thread `fetch```, ``short-lived processes``."""
    count = worker.count
    if count is None:
        return "short-lived processes" if worker.process else "short-lived threads"
    if worker.process and worker.name == DATA_LOADER_WORKER:
        return f"{count} {DATA_LOADER_WORKER}{'s' if count > 1 else ''}"
    one, many = ("process", "processes") if worker.process else ("thread", "threads")
    name = f"`{worker.name[:_LONGEST]}`"
    return f"{count} {many} {name}" if count > 1 else f"{one} {name}"


def _advice(workers: tuple[Worker, ...], training: Training | None) -> Iterator[str]:
    if any(worker.process and worker.name == DATA_LOADER_WORKER for worker in workers):
        waits = (
            next((each.share for each in training.phases if each.name == "data"), None) if training else None
        )
        if waits is None or _HARDLY_WAITING <= waits < _WAITING:
            yield "If the loop waits for its batches, more workers may help; if not, fewer leave more cores to the model."
        elif waits >= _WAITING:
            yield f"A step still waits for data {waits:.0%} of its time: try more workers, or less work for each item."
        else:
            yield "The steps hardly wait for data: fewer workers may do, and leave more cores to the model."
    if any(worker.process and worker.name != DATA_LOADER_WORKER for worker in workers):
        yield "What a process does can be profiled only inside it."
    if not all(worker.process for worker in workers):
        yield "To see what a thread does, by op and line, run its work in the cell's own thread."


RULES: tuple[Rule, ...] = (beside_the_cell,)
