"""Where the time of a training step goes."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import HOT, Rule, remark
from jupyter_optim.analysis.words import duration
from jupyter_optim.report import Finding, Phase, PhaseName, Report, Training

_WAITING = 0.2
_MANY_OPS = 50
_FUSED = "aten::_fused_"


def waiting_for_data(report: Report) -> Iterator[Finding]:
    """Steps that wait for their batch."""
    training = report.training
    data = _phase(training, "data")
    if training is None or data is None or data.share < _WAITING:
        return
    yield remark(
        "data-loading", f"{data.share:.0%} of a training step waits for data",
        f"{duration(data.ms)} of each step's {duration(training.step_ms)} pass in the DataLoader. Give it worker "
        "processes (`num_workers`), move transformations out of the loop, or keep the data in memory.",
        "high" if data.share >= 0.5 else "medium", evidence=(training.method,),
    )  # fmt: skip


def many_optimizer_ops(report: Report) -> Iterator[Finding]:
    """An optimizer that goes through the weights one by one."""
    training = report.training
    phase = _phase(training, "optimizer")
    if training is None or phase is None or phase.share < HOT or (phase.ops or 0) < _MANY_OPS:
        return
    if any(part.name.startswith(_FUSED) for part in phase.top_ops):
        return  # what is left are the counters of its steps
    yield remark(
        "optimizer-ops", f"The optimizer runs {phase.ops:.0f} small ops in each step",
        f"They take {phase.share:.0%} of a step, {duration(phase.ms)}. Most of torch's optimizers do the same in "
        "one op for all weights: `fused=True`, or `foreach=True`.",
        "medium", evidence=(training.method,),
    )  # fmt: skip


def _phase(training: Training | None, name: PhaseName) -> Phase | None:
    return next((phase for phase in training.phases if phase.name == name), None) if training else None


RULES: tuple[Rule, ...] = (waiting_for_data, many_optimizer_ops)
