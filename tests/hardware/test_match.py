"""torch's devices and NVML's GPUs, however they are counted."""

from __future__ import annotations

from types import SimpleNamespace

from jupyter_optim.hardware.match import Known, identity, match

A, B = "GPU-aaaaaaaa-1111-2222-3333-444444444444", "GPU-bbbbbbbb-1111-2222-3333-444444444444"
TWO = (Known(0, A, "00000000:3B:00.0"), Known(1, B, "00000000:AF:00.0"))


def test_by_uuid_with_or_without_its_prefix_whatever_the_order() -> None:
    assert match(B.removeprefix("GPU-"), None, TWO).index == 1
    assert match(B.upper().replace("GPU-", ""), "00000000:3B:00.0", TWO).index == 1
    assert match(A, None, TWO[::-1]).index == 0


def test_by_pci_address_where_torch_tells_no_uuid() -> None:
    assert match(None, "0000:af:00.0", TWO).index == 1
    assert match("cccccccc-1111-2222-3333-444444444444", "00000000:AF:00.0", TWO).index == 1


def test_no_guess_among_several() -> None:
    found = match("cccccccc-1111-2222-3333-444444444444", None, TWO)
    assert found.index is None
    assert "UUID" in found.reason
    assert match(None, None, TWO).index is None
    assert match(A, None, ()).index is None


def test_the_only_gpu_that_hides_its_name_is_the_one() -> None:
    assert match(A, None, [Known(0, None, None)]).index == 0
    assert match(A, None, [Known(0, B, None)]).index is None


def test_a_slice_belongs_to_its_gpu_and_is_marked() -> None:
    sliced = Known(1, B, "00000000:AF:00.0", ("MIG-cccccccc-1111-2222-3333-444444444444",))
    found = match("cccccccc-1111-2222-3333-444444444444", None, [TWO[0], sliced])
    assert (found.index, found.is_slice) == (1, True)
    assert not match(A, None, [TWO[0], sliced]).is_slice


def test_identity_of_a_torch_device() -> None:
    properties = SimpleNamespace(uuid=A[4:], pci_domain_id=0, pci_bus_id=0x3B, pci_device_id=0)
    assert match(*identity(properties), TWO).index == 0
    assert identity(SimpleNamespace(name="a GPU of an older torch")) == (None, None)
    assert match(None, identity(properties)[1], TWO).index == 0
