"""16 bits where the CPU has no arithmetic for them."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from jupyter_optim.session.start import open_session
from jupyter_optim.techniques.precision import Bf16, Fp16
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.technique import Technique
from jupyter_optim.workload import Workload

IMAGES = torch.randn(2, 64, 224, 224)


class SlowIn16Bits(nn.Conv2d):
    """Takes many times as long in 16 bits, as on a CPU without such arithmetic, and says that it was called so."""

    called: ClassVar[set[int]] = set()
    """Places of those that were; of drafts, too."""

    def __init__(self, place: int) -> None:
        super().__init__(64, 64, 3, padding=1, bias=False)
        self.place = place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype is torch.float32:
            return super().forward(x)
        self.called.add(self.place)
        weight = self.weight.float()
        for _ in range(20):
            found = nn.functional.conv2d(x.float(), weight, None, 1, 1)
        return found.to(x.dtype)


def subject_of(model: nn.Module) -> Subject:
    return open_session(Workload.of_call(model.eval(), IMAGES), predict=False).subject


@pytest.mark.parametrize("technique", [Bf16(), Fp16()], ids=lambda each: each.name)
def test_one_layer_tells_that_16_bits_are_far_slower_before_the_draft_is_called(technique: Technique) -> None:
    subject = subject_of(nn.Sequential(*(SlowIn16Bits(place) for place in range(4))))
    SlowIn16Bits.called.clear()
    found = technique.judge(subject)
    assert found.applies
    assert found.predicted_speedup is not None
    assert found.predicted_speedup < 0.25
    assert "as an example of all 4" in found.method
    assert len(SlowIn16Bits.called) == 1


class Counting(SlowIn16Bits):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__(0)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(1)
        return super().forward(x)


def test_to_time_a_layer_leaves_it_and_the_random_numbers_as_they_were() -> None:
    model = nn.Sequential(Counting())
    subject = subject_of(model)
    seen, state = model[0].seen.clone(), torch.get_rng_state()
    found = Bf16().judge(subject)
    assert "as an example of all 1" in found.method
    assert torch.equal(model[0].seen, seen)
    assert torch.equal(torch.get_rng_state(), state)


class Particular(SlowIn16Bits):
    """Takes the images of these tests alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.equal(x, IMAGES.to(x.dtype)):
            raise ValueError("other images")
        return super().forward(x)


def test_a_layer_that_takes_no_made_up_inputs_is_timed_within_the_draft() -> None:
    found = Bf16().judge(subject_of(nn.Sequential(Particular(0))))
    assert found.applies
    assert "changed model" in found.method


def test_a_hook_of_the_users_sees_no_made_up_inputs() -> None:
    seen: list[torch.Tensor] = []
    model = nn.Sequential(SlowIn16Bits(0))
    model[0].register_forward_hook(lambda _module, inputs, _outputs: seen.append(inputs[0]))
    found = Bf16().judge(subject_of(model))
    assert found.predicted_speedup is not None
    assert "as an example" not in found.method
    assert seen
    assert all(torch.equal(each, IMAGES.to(each.dtype)) for each in seen)
