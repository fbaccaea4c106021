"""Timings cut short, for tests that look at what a session does to a model and not at its figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from jupyter_optim.profiling import latency, paired
from jupyter_optim.techniques import rehearse


@contextmanager
def short_timings() -> Iterator[None]:
    """Two pairs of short blocks, three repeats: everything runs, and the figures mean little."""
    clean = replace(latency.Budget(), seconds=0.005, min_repeats=3, max_repeats=5, max_warmup_calls=2)
    pairs = replace(paired.PairedBudget(), min_pairs=2, max_pairs=2, seconds=0.02)
    with (
        mock.patch.object(latency, "Budget", return_value=clean),
        mock.patch.object(paired, "PairedBudget", return_value=pairs),
        mock.patch.object(paired, "_BLOCK_S", 1e-4),
        mock.patch.object(paired, "_BLOCK_CALLS", 2),
        mock.patch.object(rehearse, "_BLOCK_S", 1e-4),
    ):
        yield
