"""Folding BatchNorm: every pair that is one by data flow, and none that only looks like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from tests.zoo import named
from tests.zoo.timings import short_timings

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Pair(nn.Module):
    """A layer and a norm, put together by `join`, a function of the module and its input."""

    def __init__(self, layer: nn.Module, norm: nn.Module, join: Callable[..., Any]) -> None:
        super().__init__()
        # the names and their order say nothing of the flow of data
        self.b, self.a = norm, layer
        self.join = join

    def forward(self, x: torch.Tensor) -> Any:
        return self.join(self, x)


def lived_in(model: nn.Module) -> nn.Module:
    """`model` in eval mode with statistics and scales as after a training."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, NORMS) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 2)
                nn.init.normal_(module.bias)
    return model.eval()


def fold(model: nn.Module, x: Any, **given: Any) -> tuple[Any, int]:
    """Apply the technique; the step, and how many norms are left."""
    with short_timings():
        session = jo.optimize(model, x, **given)
        step = session.apply("fold-batchnorm", keep="always")
    return step, sum(isinstance(module, NORMS) for module in model.modules())


def refused(model: nn.Module, x: Any) -> str:
    with short_timings():
        assessment = jo.optimize(model, x).assessments["fold-batchnorm"]
    assert not assessment.applies
    return assessment.reason


def behind(m: Pair, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(m.b(m.a(x)))


LAYERS: list[tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Conv1d(4, 6, 3), lambda: nn.BatchNorm1d(6), (2, 4, 9)),
    (lambda: nn.Conv2d(4, 6, 3, bias=False, stride=2), lambda: nn.BatchNorm2d(6), (2, 4, 9, 9)),
    (lambda: nn.Conv2d(4, 8, 3, groups=4), lambda: nn.BatchNorm2d(8, affine=False), (2, 4, 9, 9)),
    (lambda: nn.Conv3d(2, 3, 2), lambda: nn.BatchNorm3d(3), (2, 2, 4, 4, 4)),
    (lambda: nn.ConvTranspose1d(4, 6, 3), lambda: nn.BatchNorm1d(6), (2, 4, 9)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), lambda: nn.BatchNorm2d(6), (2, 4, 5, 5)),
    (lambda: nn.ConvTranspose3d(2, 3, 2, bias=False), lambda: nn.BatchNorm3d(3), (2, 2, 4, 4, 4)),
    (lambda: nn.Linear(5, 7), lambda: nn.BatchNorm1d(7), (3, 5)),
    (lambda: nn.Linear(5, 7, bias=False), lambda: nn.BatchNorm1d(7, affine=False), (3, 5)),
]


@pytest.mark.parametrize(("layer", "norm", "shape"), LAYERS)
@pytest.mark.parametrize("grad", [False, True])
def test_each_kind_of_layer_takes_its_norm_in(layer: Any, norm: Any, shape: Any, grad: bool) -> None:
    model, x = lived_in(Pair(layer(), norm(), behind)), torch.randn(shape)
    expected, held = model(x), model.a
    weight, bits = held.weight, held.weight.clone()
    with torch.set_grad_enabled(grad):
        step, left = fold(model, x)
    assert step.accepted, step.reason
    assert left == 0
    assert model.a is held
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert model.a.weight.requires_grad
    assert torch.equal(weight, bits)
    assert step.quality.after > 1 - 1e-9


@pytest.mark.parametrize(
    ("name", "norms"), [("resnet-small", 9), ("mobilenet", 7), ("unet", 5), ("densenet", 4)]
)
def test_pairs_are_found_wherever_they_stand(name: str, norms: int) -> None:
    model, x = named(name).build()
    lived_in(model)
    with torch.no_grad():
        expected = model(x)
        step, left = fold(model, x)
        assert f"{norms} BatchNorms folded into {norms} layers" in step.reason
        assert left == 0
        torch.testing.assert_close(model(x), expected, rtol=1e-3, atol=1e-5)


def conv_pair(join: Callable[..., Any], **settings: Any) -> nn.Module:
    return lived_in(Pair(nn.Conv2d(3, 4, 3, **settings), nn.BatchNorm2d(4), join))


def spied(m: Pair, x: torch.Tensor) -> torch.Tensor:
    y = m.a(x)
    return m.b(y) + y.detach()[:, :1]


def reads_the_weight(m: Pair, x: torch.Tensor) -> torch.Tensor:
    return m.b(m.a(x)) + m.a.weight.sum()


def reads_the_statistics(m: Pair, x: torch.Tensor) -> torch.Tensor:
    return m.b(m.a(x)) + m.b.running_mean.view(1, -1, 1, 1)


def twice(m: Pair, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([m.b(m.a(x)), m.a(x)])


def returned(m: Pair, x: torch.Tensor) -> dict[str, torch.Tensor]:
    raw = m.a(x)
    return {"out": m.b(raw), "raw": raw}


def kept(m: Pair, x: torch.Tensor) -> torch.Tensor:
    m.features = m.a(x)
    return m.b(m.features)


NO_PAIRS: list[tuple[str, Callable[[], nn.Module]]] = [
    ("relu between", lambda: conv_pair(lambda m, x: m.b(torch.relu(m.a(x))))),
    ("in-place relu between", lambda: conv_pair(lambda m, x: m.b(torch.relu_(m.a(x))))),
    ("read past the graph", lambda: conv_pair(spied)),
    ("returned too", lambda: conv_pair(returned)),
    ("kept for later", lambda: conv_pair(kept)),
    ("called twice", lambda: conv_pair(twice)),
    ("the norm comes first", lambda: lived_in(Pair(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(3), lambda m, x: m.a(m.b(x))))),
    ("weight read elsewhere", lambda: conv_pair(reads_the_weight)),
    ("statistics read elsewhere", lambda: conv_pair(reads_the_statistics)),
    ("no statistics", lambda: lived_in(Pair(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), behind))),
    ("transposed in groups", lambda: lived_in(Pair(nn.ConvTranspose2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), behind))),
    ("weight norm", lambda: lived_in(Pair(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), behind))),
]  # fmt: skip


@pytest.mark.parametrize(("_why", "build"), NO_PAIRS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("grad", [False, True])
def test_what_only_looks_like_a_pair_is_left_alone(_why: str, build: Any, grad: bool) -> None:
    with torch.set_grad_enabled(grad):
        assert "nobody else reads" in refused(build(), torch.randn(2, 3, 8, 8))


def test_a_hook_of_the_user_keeps_its_layer() -> None:
    model = conv_pair(behind)
    model.a.register_forward_hook(lambda module, args, output: None)
    assert "nobody else reads" in refused(model, torch.randn(2, 3, 8, 8))


def test_channels_of_a_norm_are_not_those_of_a_linear_of_sequences() -> None:
    # as many steps as channels: shapes fit, and the meaning is another one
    model = lived_in(Pair(nn.Linear(5, 7), nn.BatchNorm1d(7), behind))
    assert "nobody else reads" in refused(model, torch.randn(2, 7, 5))


def test_tied_layers_stay_as_they_are_and_others_are_folded() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3),
        nn.BatchNorm2d(3),
    )  # fmt: skip
    model[2].weight = model[0].weight
    step, left = fold(lived_in(model), torch.randn(2, 3, 9, 9))
    assert "1 BatchNorm folded" in step.reason
    assert left == 2
    assert model[2].weight is model[0].weight


def test_one_norm_behind_several_layers_goes_into_each() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for conv in self.convs:
                x = torch.relu(self.norm(conv(x)))
            return x

    model, x = lived_in(Shared()), torch.randn(2, 3, 9, 9)
    expected = model(x)
    step, left = fold(model, x)
    assert "1 BatchNorm folded into 2 layers" in step.reason
    assert left == 0
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_called_often_may_have_its_norm_behind_each_call() -> None:
    model = conv_pair(lambda m, x: m.b(m.a(x)) + m.b(m.a(x.flip(-1))))
    x = torch.randn(2, 3, 9, 9)
    expected = model(x)
    _, left = fold(model, x)
    assert left == 0
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_train_mode_is_refused_and_no_norm_too() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert "train mode" in refused(conv_pair(behind).train(), x)
    assert "no BatchNorm" in refused(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), x)
    awake = conv_pair(behind)
    awake.b.train()
    assert "train mode" in refused(awake, x)


def test_in_16_bits_it_is_folded_with_one_rounding() -> None:
    model = conv_pair(behind).bfloat16()
    step, left = fold(model, torch.randn(2, 3, 9, 9, dtype=torch.bfloat16))
    assert left == 0
    assert model.a.weight.dtype is torch.bfloat16
    assert step.quality.after > 0.999


def test_it_can_be_undone_to_the_bit_and_stacks_with_another_layout() -> None:
    model, x = named("resnet-small").build()
    lived_in(model)
    names = list(model.state_dict())
    with torch.no_grad(), short_timings():
        expected = model(x)
        session = jo.optimize(model, x)
        session.apply("channels-last", keep="always")
        session.apply("fold-batchnorm", keep="always")
        assert model.stem[0].weight.is_contiguous(memory_format=torch.channels_last)
        session.reset()
        assert torch.equal(model(x), expected)
    assert list(model.state_dict()) == names
