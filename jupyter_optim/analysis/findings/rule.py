"""What every finding has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jupyter_optim.report import Finding, Report, Severity

Rule = Callable[[Report], Iterator[Finding]]
"""Yields nothing where there is nothing to say."""

HOT = 0.10
"""What takes this part of the time is worth a sentence."""


def severity_of(share: float) -> Severity:
    """How grave it is that something takes `share` of the time."""
    return "high" if share >= 0.5 else "medium" if share >= 0.2 else "low"


def remark(
    kind: str, title: str, text: str, severity: Severity,
    *, evidence: tuple[str, ...] = (), modules: tuple[str, ...] = (),
) -> Finding:  # fmt: skip
    """A finding that concerns no part of the call's time, or none that is known; it comes after those that do."""
    return Finding(
        kind=kind, title=title, text=text, share=None, severity=severity, evidence=evidence, modules=modules
    )
