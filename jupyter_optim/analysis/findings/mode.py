"""Whether the model is called as for training where nothing is trained, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_optim.analysis.findings.memory import kept_for_gradients
from jupyter_optim.analysis.findings.rule import Rule, remark, severity_of
from jupyter_optim.report import Finding, ModuleRow, Report

_DROPOUT_OPS = frozenset(
    {"aten::dropout", "aten::native_dropout", "aten::alpha_dropout", "aten::feature_dropout"}
)
_DRAWS = "aten::bernoulli_"
"""What each dropout on the CPU runs, also one that is called as a function."""

_WORTH_SAYING = 0.01
_WORTH_BYTES = 1_000_000


def train_mode(report: Report) -> Iterator[Finding]:
    """Train mode where nothing is trained."""
    workload = report.workload
    if not workload.training or (workload.grad and workload.trains is not False):
        return
    how = "and nothing was trained" if workload.grad else "with gradients off"
    dropout, norms = _dropouts(report), _rows(report, "BatchNorm")
    share = _dropout_share(report, dropout)
    effects = []
    if dropout or share:
        cost = f" and takes {share:.0%} of the time" if share >= _WORTH_SAYING else ""
        effects.append(f"dropout is active{cost}, so that answers differ from call to call")
    if norms:
        effects.append("BatchNorm uses the statistics of each batch, and changes its own")
    known = bool(report.modules)
    if not effects and known:
        effects.append(
            "no dropout or BatchNorm layer of PyTorch was seen in it, which would answer otherwise"
        )
    effects.append("most remedies are out of reach")
    yield remark(
        "train-mode", "The model is in train mode",
        f"It was called in train mode {how}: {_joined(effects)}. For inference call `model.eval()` first.",
        "high" if severity_of(share) == "high" else "medium" if dropout or share or norms or not known else "low",
        evidence=_counted(dropout, norms), modules=tuple(row.path for row in [*dropout, *norms][:50]),
    )  # fmt: skip


def gradients(report: Report) -> Iterator[Finding]:
    """Gradients that nobody will ask for."""
    workload = report.workload
    if not workload.grad or workload.trains or (workload.training and workload.trains is None):
        return
    if any(kept_for_gradients(report)):
        return  # that says the same, and how much it is
    mode = "train" if workload.training else "eval"
    held = next((each.bytes for each in report.memory.at_peak if each.kind == "activations"), 0)
    cost = f" ({held / 1e6:.3g} MB at the peak)" if held >= _WORTH_BYTES else ""
    yield remark(
        "gradients", "Gradients are tracked",
        f"It was called in {mode} mode with gradients on, and no backward pass was seen: what its layers need for one is "
        f"kept{cost}. Put the call under `with torch.inference_mode():` to save that memory and some time.",
        "low", evidence=(report.memory.method,) if cost else (),
    )  # fmt: skip


def _rows(report: Report, part: str) -> list[ModuleRow]:
    return [row for row in report.modules if part in row.class_name and row.calls > 0]


def _dropouts(report: Report) -> list[ModuleRow]:
    return _rows(report, "Dropout")


def _dropout_share(report: Report, layers: list[ModuleRow]) -> float:
    """Part of the call's time in dropout: that of its layers, and of its ops elsewhere."""
    within = {row.path for row in layers}
    outside = sum(
        op.share for op in report.ops if op.name in {*_DROPOUT_OPS, _DRAWS} and op.module not in within
    )
    call_ms = report.trace.call_ms
    in_layers = sum(row.total_ms for row in layers) / call_ms if call_ms else 0.0
    return min(1.0, in_layers + outside)


def _counted(dropout: list[ModuleRow], norms: list[ModuleRow]) -> tuple[str, ...]:
    found = []
    for what, rows in (("dropout", dropout), ("BatchNorm", norms)):
        if rows:
            found.append(f"{len(rows)} {what} {'layer' if len(rows) == 1 else 'layers'}")
    return tuple(found)


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{'; '.join(parts[:-1])}; and {parts[-1]}"


RULES: tuple[Rule, ...] = (train_mode, gradients)
