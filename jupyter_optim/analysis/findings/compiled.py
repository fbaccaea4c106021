"""What `torch.compile` made of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jupyter_optim.analysis.findings.rule import Rule, remark
from jupyter_optim.report import Compiled, Finding, GraphBreak, Report

_NAMED = 3
_SHAPES = re.compile(r"size mismatch|stride mismatch|rank mismatch|\.(size|stride)\(\)|\bs\d+\b")
_MODE = re.compile(r"grad_mode|GRAD_MODE|autocast|\.training\b|inference")


def graph_breaks(report: Report) -> Iterator[Finding]:
    """Places at which the compiled model falls back into Python."""
    found = report.compiled
    if found is None or not found.breaks:
        return
    count = len(found.breaks)
    graphs = "" if found.graphs is None else f" into {found.graphs:.3g} graphs in one call"
    yield remark(
        "graph-breaks", f"The compiled model breaks{graphs}: {_named(found.breaks)}",
        f"{count} graph {'break' if count == 1 else 'breaks'}: nothing is fused across, and each graph is checked and "
        f"called by itself. {_help(found.breaks)}".strip(),
        "medium", evidence=tuple(_place(broken) for broken in found.breaks),
    )  # fmt: skip


def runs_uncompiled(report: Report) -> Iterator[Finding]:
    """Functions that were to be compiled, and are not."""
    found = report.compiled
    if found is None:
        return
    if found.skipped:
        yield remark(
            "not-compiled", f"PyTorch gave up compiling a part of the model: {_named(found.skipped)}",
            f"These functions run as without `torch.compile`. {_help(found.skipped)}".strip(),
            "high" if found.graphs == 0 else "medium", evidence=tuple(_place(each) for each in found.skipped),
        )  # fmt: skip
    elif found.graphs == 0:
        yield remark(
            "not-compiled", "The model was given to `torch.compile`, and no compiled code ran",
            "A layer of PyTorch's own that is compiled by its method `compile()` runs as before: call "
            "`torch.compile(layer)`, or compile the model around it. It also runs uncompiled where compiling is disabled.",
            "medium",
        )  # fmt: skip


def recompilations(report: Report) -> Iterator[Finding]:
    """Code that was compiled several times over."""
    found = report.compiled
    if found is None or not found.recompiles:
        return
    times = "once more" if found.recompiles == 1 else f"{found.recompiles} times more"
    why, advice = _cause(found)
    yield remark(
        "recompiles", f"The model was compiled {times}{why}",
        f"Each time takes as long as the first, and after a few PyTorch gives up. {advice}", "medium" if found.recompiles > 1 else "low",
        evidence=found.recompile_reasons,
    )  # fmt: skip


def _cause(found: Compiled) -> tuple[str, str]:
    """Why it was compiled again, in words, and what helps."""
    first = found.recompile_reasons[0] if found.recompile_reasons else ""
    if _SHAPES.search(first):
        return ", because of changing shapes", (
            "Mark the sizes that vary with `torch._dynamo.mark_dynamic(tensor, dim)` before the first call, compile "
            "with `dynamic=True`, or pad the inputs to a few sizes."
        )
    if _MODE.search(first):
        return ", because of another mode", (
            "Call it always in the same mode: `train()` or `eval()`, with or without gradients, autocast on or off."
        )
    if first:
        return ", because a value changed that it was compiled for", (
            "Numbers and texts that a call is given are part of the compiled code: give what changes as a tensor."
        )
    return "", "`TORCH_LOGS=recompiles` in the environment has PyTorch say why."


def _named(found: tuple[GraphBreak, ...]) -> str:
    words = [each.reason if each.line is None else f"{each.reason} at {each.line}" for each in found[:_NAMED]]
    left = len(found) - _NAMED
    return ", ".join(words) + (f", and {left} more" if left > 0 else "")


def _place(found: GraphBreak) -> str:
    return found.reason if found.line is None else f"{found.line}: {found.reason}"


def _help(found: tuple[GraphBreak, ...]) -> str:
    """What helps against each kind of break."""
    hints = dict.fromkeys((each.reason, each.hint.rstrip(".")) for each in found if each.hint is not None)
    words = " ".join(f"For {reason}: {hint}." for reason, hint in list(hints)[:_NAMED])
    return f"What helps: {words[0].lower()}{words[1:]}" if words else ""


RULES: tuple[Rule, ...] = (graph_breaks, runs_uncompiled, recompilations)
