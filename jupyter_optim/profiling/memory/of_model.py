"""How many bytes a model and one call of it hold."""

from __future__ import annotations

import io
from collections.abc import Iterable

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.profiling.memory.peak import Peak
from jupyter_optim.report import HeldAt, Holder, Memory
from jupyter_optim.workload import Workload


def weights_bytes(model: nn.Module) -> int:
    """Bytes of all parameters, buffers and packed int8 weights; each storage counts once."""
    plain = _storage_bytes([*model.parameters(), *model.buffers()])
    return plain + sum(_packed_bytes(module) for module in model.modules())


def _storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    total = 0
    seen: set[int] = set()
    for tensor in tensors:
        if _is_lazy(tensor):
            continue
        # tensor subclasses (torchao's) hold their data in tensors of their own
        inner = getattr(tensor, "__tensor_flatten__", None)
        if inner is not None:
            total += _storage_bytes(getattr(tensor, name) for name in inner()[0])
            continue
        if tensor.layout != torch.strided:
            total += tensor.numel() * tensor.element_size()
            continue
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in seen or address == 0:
            seen.add(address)
            # a view of a larger storage holds all of it
            total += storage.nbytes() if address else tensor.numel() * tensor.element_size()
    return total


def _is_lazy(tensor: object) -> bool:
    return isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)


def _packed_bytes(module: nn.Module) -> int:
    """Bytes that a module holds outside of parameters and buffers."""
    own = getattr(module, "packed_bytes", None)
    if callable(own):
        return int(own())
    # an engine that answers in its place
    held = getattr(getattr(module.__dict__.get("forward"), "__func__", None), "held_bytes", None)
    if held is not None:
        return int(held)
    if type(module).__module__.startswith("torch.ao.nn.quantized.dynamic.modules.rnn"):
        # packed weights are opaque objects: what they take when written out is the nearest that can be told
        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        return buffer.tell()
    return 0


def _packed_parameters(module: nn.Module) -> int:
    """Weights that are no `nn.Parameter` any more."""
    own = getattr(module, "packed_parameters", None)
    return int(own()) if callable(own) else 0


def memory_of(workload: Workload, peak: Peak | None, on_device: int | None = None) -> Memory:
    """Memory figures of one call.

    Args:
        workload: whose call it is.
        peak: who held what, from the trace of a call.
        on_device: on an accelerator, the most that its allocator held above what a call began with.
    """
    weights = weights_bytes(workload.model)
    inputs = _storage_bytes(t for t in tree.tensors((workload.args, workload.kwargs)) if not t.is_nested)
    parameters = sum(0 if _is_lazy(p) else p.numel() for p in workload.model.parameters())
    parameters += sum(_packed_parameters(module) for module in workload.model.modules())
    activations = on_device if on_device is not None else peak.bytes if peak is not None else None
    if activations is None:
        return Memory(
            peak_bytes=None, weights_bytes=weights, activations_bytes=None, parameters=parameters,
            status="unavailable", method="", reason="the profiler reported no memory events",
        )  # fmt: skip
    before = (
        Holder(kind="weights", bytes=weights, blocks=len(list(workload.model.parameters()))),
        Holder(kind="inputs", bytes=inputs, blocks=len(list(tree.tensors((workload.args, workload.kwargs))))),
    )
    kinds, holders, timeline = (peak.kinds, peak.holders, peak.timeline) if peak is not None else ((), (), ())
    return Memory(
        peak_bytes=weights + inputs + activations, weights_bytes=weights, activations_bytes=activations,
        parameters=parameters, status="measured",
        method="weights, buffers and inputs, and the most that the allocator held besides during one traced call",
        at_peak=tuple(each for each in (*before, *kinds) if each.bytes), holders=holders,
        timeline=tuple(HeldAt(ms=at_ms, bytes=weights + inputs + held) for at_ms, held in timeline),
    )  # fmt: skip


def cuda_activations(workload: Workload) -> int:
    """The most device memory that one call holds above what it starts with."""
    device = workload.device
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with workload.mode.applied(workload.model):
        workload.call(workload.model, *workload.fresh_inputs())
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before)
