"""Blocks of memory in a trace, told by the tensors that lie in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from jupyter_optim.profiling.trace.columns import Columns


def blocks_of(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    """By address, the bytes of the storages of some tensors; what holds its data in another way is left out."""
    found = {}
    for tensor in tensors:
        plain = type(tensor.data) is torch.Tensor and not nn.parameter.is_lazy(tensor)
        if plain and not tensor.is_nested and tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.nbytes():
                found[storage.data_ptr()] = storage.nbytes()
    return found


def without_blocks(columns: Columns, blocks: Mapping[int, int]) -> Columns:
    """The trace without the allocation of some blocks that are still held: those of our own copies of inputs.

    Args:
        columns: the trace.
        blocks: by address, the least that the block holds, bytes.
    """
    memory = columns.memory
    last: dict[int, int] = {}
    for i in np.flatnonzero(np.isin(memory.address, list(blocks))).tolist():
        last[int(memory.address[i])] = i
    own = [i for address, i in last.items() if memory.bytes[i] >= blocks[address]]
    if not own:
        return columns
    keep = np.ones(len(memory), np.bool_)
    keep[own] = False
    return replace(
        columns,
        memory=replace(
            memory, at=memory.at[keep], bytes=memory.bytes[keep], address=memory.address[keep],
            thread=memory.thread[keep],
        ),
    )  # fmt: skip
