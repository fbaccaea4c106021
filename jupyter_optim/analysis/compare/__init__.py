"""Two reports side by side: what got faster, what slower, what is new or gone, and what is noise.

The rows of a trace are brought to parts of the clean time of a call, so that with what is in no op they sum to it, and
rows of two reports compare. `pair` says what counts as noise.
"""

from __future__ import annotations

from jupyter_optim.analysis.compare import caveats, findings, lines, rows
from jupyter_optim.analysis.compare.comparison import Comparison
from jupyter_optim.analysis.compare.latency import latency_change
from jupyter_optim.analysis.compare.matching import Match
from jupyter_optim.analysis.compare.pair import Pair
from jupyter_optim.analysis.compare.side import Side
from jupyter_optim.analysis.compare.sizes import size_changes
from jupyter_optim.analysis.compare.steps import steps_between
from jupyter_optim.report import Report

__all__ = ["DRIFT", "Comparison", "compare"]

DRIFT = 0.1
"""Two reports of one unchanged model differ by this much, though each is sure of itself to 1%."""


def compare(before: Report, after: Report, *, drift: float = DRIFT) -> Comparison:
    """What changed from `before` to `after`.

    Args:
        before: the report to compare with.
        after: the report to compare.
        drift: by how much reports of an unchanged model differ on this machine; less on a quiet one.
    """
    drift, first, last = max(0.0, drift), Side.of(before), Side.of(after)
    unlike = caveats.other_call(before, after)
    between = None if unlike else steps_between(before, after)
    if between is None or between.speedup is None:
        unlike += caveats.other_model(before, after)
    latency = latency_change(first, last, between, drift)
    pair, match = Pair.of(first, last, latency, drift), Match.of(before.modules, after.modules)
    groups, rest = rows.group_changes(pair, match), rows.rest_change(pair)
    modules, changed_lines = rows.module_changes(pair, match), lines.line_changes(pair)
    sizes = size_changes(before, after)
    return Comparison(
        model=after.workload.model, like_for_like=not unlike,
        caveats=(*unlike, *caveats.weak(first, last), *caveats.drifted(latency, between)),
        latency=latency, sizes=sizes, groups=groups, rest=rest, modules=modules, lines=changed_lines,
        ops=rows.op_changes(pair, match, by_module=False), op_rows=rows.op_changes(pair, match, by_module=True),
        steps_added=between.added if between else (), steps_removed=between.removed if between else (),
        lines_reason=lines.lines_reason(before, after, pair.changed),
        findings=(
            *(findings.alike_finding(pair, groups) if between is None else ()),
            *findings.group_findings(pair, groups, rest), *findings.line_findings(pair, changed_lines),
            *findings.size_findings(sizes), *findings.noise_finding(modules),
        ),
        noise=pair.method,
    )  # fmt: skip
