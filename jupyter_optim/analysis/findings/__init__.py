"""From figures to sentences: what is worth knowing, each with its share and its evidence.

A finding is one function, and a theme is a file of them with its `RULES`; a new theme joins `_THEMES`.
"""

from __future__ import annotations

from jupyter_optim.analysis.findings import (
    bottlenecks,
    compiled,
    gpu,
    machine,
    memory,
    mode,
    training,
    unseen,
    workload,
)
from jupyter_optim.report import Finding, Report

__all__ = ["find"]

_THEMES = (bottlenecks, gpu, compiled, training, unseen, memory, machine, mode, workload)


def find(report: Report) -> tuple[Finding, ...]:
    """All findings of a report: the grave ones first, then by share; matters of hygiene come last."""
    found = [finding for theme in _THEMES for rule in theme.RULES for finding in rule(report)]
    return tuple(sorted(found, key=lambda finding: (finding.severity != "high", -(finding.share or 0.0))))
