"""A call as an exported program, for engines that are made from those."""

from __future__ import annotations

from typing import Any

import torch

from jupyter_optim.techniques.engines.flat import FlatCall


def program_of(
    call: FlatCall, tensors: list[torch.Tensor], *, fixed: bool = False, most: int | None = None
) -> torch.export.ExportedProgram:
    """The graph of a call, for any first dimension of its inputs if it bears that.

    Args:
        call: what is exported.
        tensors: its inputs. A first dimension of 1 stays 1.
        fixed: for inputs of these shapes alone.
        most: times a first dimension may be as large, for engines that have to know.

    Raises:
        Exception: whatever the export raises.
    """
    given = tuple(tensors)
    if not fixed:
        shapes = tuple(_first_open(tensor, most) for tensor in tensors)
        try:
            return torch.export.export(call, given, dynamic_shapes=(shapes,), strict=False)
        except Exception:  # noqa: BLE001, S110 (the exporter raises what it likes; what is wrong for good is raised below)
            pass
    return torch.export.export(call, given, strict=False)


def _first_open(tensor: torch.Tensor, most: int | None) -> dict[int, Any]:
    if tensor.dim() == 0 or len(tensor) == 1:
        return {}
    return {
        0: torch.export.Dim.AUTO if most is None else torch.export.Dim.AUTO(min=1, max=most * len(tensor))
    }
