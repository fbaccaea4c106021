"""Timings cut short, for tests that look at what a session does to a model and not at its figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from unittest import mock

import torch
from torch import nn

from jupyter_optim.profiling import latency, paired
from jupyter_optim.techniques import (
    fold_batchnorm,
    int8_dynamic,
    int8_static,
    layout,
    packing,
    precision,
    rehearse,
    sdpa,
)
from jupyter_optim.techniques.engines.on_engine import EngineTechnique
from jupyter_optim.techniques.rehearse import Prediction
from jupyter_optim.techniques.subject import Subject


@contextmanager
def short_timings(*, engines: bool = False) -> Iterator[None]:
    """Two pairs of short blocks, three repeats: everything runs, and the figures mean little.

    One thread, since small ops on a busy machine wait long for each other's threads.

    Args:
        engines: convert models for other engines to predict their gain, which takes half a second each.
    """
    clean = replace(latency.Budget(), seconds=0.005, min_repeats=3, max_repeats=5, max_warmup_calls=2)
    pairs = replace(paired.PairedBudget(), min_pairs=2, max_pairs=2, seconds=0.02)
    with (
        mock.patch.object(latency, "Budget", return_value=clean),
        mock.patch.object(paired, "PairedBudget", return_value=pairs),
        mock.patch.object(paired, "_BLOCK_S", 1e-4),
        mock.patch.object(paired, "_BLOCK_CALLS", 2),
        mock.patch.object(rehearse, "_BLOCK_S", 1e-4),
        mock.patch.object(int8_dynamic, "rehearse_draft", one_call),
        mock.patch.object(precision, "rehearse_draft", one_call),
        mock.patch.object(layout, "rehearse_draft", one_call),
        mock.patch.object(packing, "rehearse_draft", one_call),
        mock.patch.object(int8_static, "rehearse_draft", one_call),
        nullcontext() if engines else mock.patch.object(EngineTechnique, "_rehearsed", unconverted),
        mock.patch.object(sdpa, "rehearse_draft", one_call),
        mock.patch.object(fold_batchnorm, "rehearse_draft", one_call),
        one_thread(),
    ):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_call(subject: Subject, draft: nn.Module) -> Prediction:
    """A rehearsal that finds out whether the changed draft runs at all."""
    workload = subject.workload
    with workload.undisturbed(draft), workload.mode.applied(draft):
        workload.call(draft, *workload.fresh_inputs())
    return Prediction(1.0, 1.0, "one call")


def unconverted(technique: EngineTechnique, subject: Subject) -> Prediction:
    """A rehearsal that converts nothing."""
    return Prediction(1.0, 1.0, "not rehearsed")
