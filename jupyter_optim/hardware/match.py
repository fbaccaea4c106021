"""Which of NVML's GPUs a torch device is: the two count differently.

torch counts the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, the fastest first; NVML counts all, by PCI address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from jupyter_optim.hardware.nvml import Nvml, Refusal, mig_is_on, text


@dataclass(frozen=True, slots=True)
class Known:
    """One GPU as NVML names it."""

    index: int
    uuid: str | None
    bus_id: str | None
    """PCI address: ``00000000:3B:00.0``."""
    slices: tuple[str, ...] = ()
    """UUIDs of its slices, where it is cut into slices (MIG)."""


@dataclass(frozen=True, slots=True)
class Match:
    """NVML's index of a device, or why there is none."""

    index: int | None
    reason: str | None = None
    is_slice: bool = False
    """The device is a part of that GPU: counters of the whole GPU are not its own."""


def match(uuid: str | None, bus_id: str | None, known: Sequence[Known]) -> Match:
    """Find a device among those that NVML knows: by its UUID, else by its PCI address."""
    wanted = _plain(uuid)
    for gpu in known:
        if wanted is not None and wanted in {_plain(each) for each in gpu.slices}:
            return Match(gpu.index, is_slice=True)
    for gpu in known:
        if wanted is not None and wanted == _plain(gpu.uuid):
            return Match(gpu.index, is_slice=bool(gpu.slices))
    address = _address(bus_id)
    for gpu in known:
        if address is not None and address == _address(gpu.bus_id):
            return Match(gpu.index, is_slice=bool(gpu.slices))
    if not known:
        return Match(None, "NVIDIA's driver counts no GPU")
    if len(known) == 1 and (wanted is None or _plain(known[0].uuid) is None) and not known[0].slices:
        return Match(known[0].index)  # there is no other that it could be
    return Match(None, "none of the GPUs that NVIDIA's driver tells of has this device's UUID or PCI address")


def nvml_match(nvml: Nvml, device: torch.device) -> Match:
    """NVML's index of a torch CUDA device."""
    count = nvml.count()
    if isinstance(count, Refusal):
        return Match(None, nvml.reason or count.reason)
    properties = torch.cuda.get_device_properties(device)
    return match(*identity(properties), [known(nvml, index) for index in range(count)])


def watched(device: torch.device) -> tuple[int, ...] | None:
    """NVML's indices of the GPUs that a sampler should watch for work on `device`; None is all of them."""
    if device.type != "cuda":
        return ()
    with Nvml() as nvml:
        index = nvml_match(nvml, device).index
    return None if index is None else (index,)


def identity(properties: Any) -> tuple[str | None, str | None]:
    """UUID and PCI address of a torch device, as far as this torch tells them."""
    uuid = getattr(properties, "uuid", None)
    bus, slot = getattr(properties, "pci_bus_id", None), getattr(properties, "pci_device_id", None)
    address = None
    if bus is not None and slot is not None:
        address = f"{getattr(properties, 'pci_domain_id', 0):08X}:{bus:02X}:{slot:02X}.0"
    return (None if uuid is None else str(uuid)), address


def known(nvml: Nvml, index: int) -> Known:
    """How NVML names the GPU at `index`."""
    handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
    if isinstance(handle, Refusal):
        return Known(index, None, None)
    pci = nvml.ask("nvmlDeviceGetPciInfo", handle)
    return Known(
        index, text(nvml.ask("nvmlDeviceGetUUID", handle)),
        None if isinstance(pci, Refusal) else text(pci.busId), _slices(nvml, handle),
    )  # fmt: skip


def _slices(nvml: Nvml, handle: Any) -> tuple[str, ...]:
    if not mig_is_on(nvml, handle):
        return ()
    count = nvml.ask("nvmlDeviceGetMaxMigDeviceCount", handle)
    places = range(0 if isinstance(count, Refusal) else count)
    # not all places are taken
    handles = [nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, place) for place in places]
    names = [text(nvml.ask("nvmlDeviceGetUUID", each)) for each in handles if not isinstance(each, Refusal)]
    return tuple(name for name in names if name is not None)


def _plain(uuid: str | None) -> str | None:
    """NVML writes ``GPU-`` or ``MIG-`` before what torch tells."""
    if not uuid:
        return None
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _address(bus_id: str | None) -> str | None:
    """The domain has 4 digits for some, 8 for others."""
    return bus_id.lower().lstrip("0").removeprefix(":") if bus_id else None
