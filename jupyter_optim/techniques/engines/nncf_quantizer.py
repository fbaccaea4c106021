"""NNCF: int8 weights and activations for a model of OpenVINO's, calibrated on inputs."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques.engines.openvino_engine import without_telemetry
from jupyter_optim.techniques.engines.signal_stack import signal_stack_kept


def quantized(
    model: Any, samples: Iterable[list[torch.Tensor]], progress: Progress, *, transformer: bool
) -> Any:
    """An int8 form of `model`.

    Args:
        model: an `openvino.Model`, not changed.
        samples: inputs that it is calibrated on.
        progress: told how far it is; *Cancel* takes effect between samples and layers.
        transformer: whether it has attention, which gets SmoothQuant (arXiv 2211.10438).

    Raises:
        Cancelled: the user asked for that.
        Exception: whatever NNCF raises.
    """
    without_telemetry()
    with quiet():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
    given = [tuple(tensor.detach().contiguous().numpy() for tensor in sample) for sample in samples]
    # without VNNI, products are summed in 16 bits, and 8-bit weights would overflow them
    fix = nncf.OverflowFix.FIRST_LAYER if has_vnni() else nncf.OverflowFix.ENABLE
    with quiet(), _reporting(progress), signal_stack_kept():
        return nncf.quantize(
            model, nncf.Dataset(given), subset_size=len(given),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )  # fmt: skip


@contextmanager
def _reporting(progress: Progress) -> Iterator[None]:
    """NNCF's progress bars draw nothing meanwhile, and ask whether to stop."""
    bars = importlib.import_module("nncf.common.logging.track_progress")
    kinds = {name: getattr(bars, name) for name in ("Progress", "WeightedProgress")}
    for name, kind in kinds.items():
        setattr(bars, name, _silent(kind, progress))
    try:
        yield
    finally:
        for name, kind in kinds.items():
            setattr(bars, name, kind)


def _silent(kind: Any, progress: Progress) -> Any:
    worker = threading.get_ident()

    def check() -> None:
        # rich's own threads move the bars, too: what is raised there stops nothing, and is printed
        if threading.get_ident() == worker:
            progress.check()

    class Silent(kind):  # type: ignore[misc]
        def __init__(self, *columns: Any, **options: Any) -> None:
            super().__init__(*columns, **{**options, "disable": True})

        def add_task(self, description: str, *args: Any, **fields: Any) -> Any:
            progress.report(f"Quantizing: {description.lower()}", None)
            return super().add_task(description, *args, **fields)

        def advance(self, *args: Any, **options: Any) -> None:
            check()
            super().advance(*args, **options)

        def update(self, *args: Any, **options: Any) -> None:
            check()
            super().update(*args, **options)

    return Silent
