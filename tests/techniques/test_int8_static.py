"""Convolutions and Linear layers in int8 on scales found beforehand, and as many of them as the quality bears."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from benchmarks.digits import Digits, network
from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.techniques.static_layers import Grid, StaticInt8, ValueRange
from tests.techniques.blocks import Harmed
from tests.zoo import fingerprint, named, peek
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    torch.manual_seed(0)
    with short_timings(), torch.no_grad():
        yield


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


CONVOLUTIONS = {
    "plain": (lambda: nn.Conv2d(8, 16, 3, padding=1), (2, 8, 9, 9)),
    "strided, dilated, no bias": (lambda: nn.Conv2d(8, 16, 3, stride=2, dilation=2, bias=False), (2, 8, 15, 15)),
    "in groups": (lambda: nn.Conv2d(8, 16, 3, groups=4), (2, 8, 9, 9)),
    "by channel": (lambda: nn.Conv2d(16, 16, 5, padding=2, groups=16), (2, 16, 9, 9)),
    "of one image": (lambda: nn.Conv2d(8, 16, 1), (8, 9, 9)),
    "a Linear": (lambda: nn.Linear(64, 32), (5, 7, 64)),
    "a Linear of one row": (lambda: nn.Linear(64, 32), (64,)),
    "a Linear without bias": (lambda: nn.Linear(64, 32, bias=False), (5, 64)),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_each_kind_of_layer_answers_alike(kind: str) -> None:
    build, shape = CONVOLUTIONS[kind]
    layer, x = build(), torch.randn(shape)
    expected = layer(x)
    given, made = ValueRange(), ValueRange()
    given.add(x)
    made.add(expected)
    found = StaticInt8(layer, given.grid(), made.grid())
    assert found(x).shape == expected.shape
    assert found(x).dtype is torch.float32
    assert cosine(found(x), expected) > 0.999
    assert torch.allclose(found.weight, layer.weight, atol=float(layer.weight.abs().max()) / 127)
    file = io.BytesIO()
    torch.save(found, file)
    file.seek(0)
    for copied in (copy.deepcopy(found), torch.load(file, weights_only=False)):
        assert torch.equal(copied(x), found(x))


def test_a_linear_takes_inputs_in_any_layout_and_in_part() -> None:
    layer, x = nn.Linear(64, 32), torch.randn(64, 7, 5).transpose(0, 2)
    given, made = ValueRange(), ValueRange()
    given.add(x)
    made.add(layer(x))
    found = StaticInt8(layer, given.grid(), made.grid())
    assert torch.equal(found(x), found(x.contiguous()))
    assert torch.equal(found(x)[2:], found(x.contiguous()[2:]))
    assert cosine(found(x), layer(x)) > 0.999


def test_large_channels_do_not_cost_the_others_of_a_linear_their_precision() -> None:
    layer, x = nn.Linear(64, 32), torch.randn(500, 64)
    layer.weight[3] *= 300  # as transformers have them
    expected = layer(x)
    given, made = ValueRange(), ValueRange()
    given.add(x)
    made.add(expected)
    found = StaticInt8(layer, given.grid(), made.grid())(x)
    others = [n for n in range(32) if n != 3]
    assert cosine(found[:, others], expected[:, others]) > 0.999


def test_values_of_many_calls_are_each_taken_into_account() -> None:
    values = ValueRange()
    for number in range(20):
        values.add(torch.full((1 << 16,), float(number)))
    held = torch.cat(values._samples)
    assert len(held) <= 1 << 17
    counts = torch.bincount(held.long(), minlength=20).double()
    assert counts.min() > 0.4 * counts.mean()
    # and each channel of a large tensor
    channels = ValueRange()
    channels.add(torch.arange(64.0).repeat(1 << 16))
    assert len(torch.cat(channels._samples).unique()) == 64


def test_a_grid_gives_up_a_rare_extreme_for_finer_steps() -> None:
    values = ValueRange()
    values.add(torch.cat([torch.randn(60_000), torch.tensor([12.0])]))
    grid = values.grid()
    assert grid.scale * 255 < 15.5
    nothing = ValueRange()
    nothing.add(torch.zeros(10))
    assert nothing.grid() == Grid(1.0, 0)


def test_a_trained_network_keeps_its_score_at_a_quarter_of_its_bytes() -> None:
    digits, model = Digits.load(), network()
    with torch.enable_grad():
        digits.train(model, epochs=4)
    before = digits.accuracy(model)
    assert before > 0.95
    session = jo.optimize(model, digits.test_images[:64], evaluate=digits.accuracy, max_drop=0.01)
    assessment = session.assessments["int8-static"]
    assert "cosine" in assessment.reason
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert step.size_ratio < 0.28
    assert step.size_ratio == pytest.approx(assessment.predicted_size_ratio, abs=0.02)
    assert digits.accuracy(model) > before - 0.01
    assert not session.assessments["int8-static"].applies
    session.undo()
    assert digits.accuracy(model) == before


@pytest.mark.parametrize("name", ["resnet18", "mobilenet", "unet", "bert", "vit"])
def test_models_answer_alike_and_undo_to_the_bit(name: str) -> None:
    live, inputs = named(name).build()
    before, answers = fingerprint(live), peek(live, inputs)
    session = jo.optimize(live, inputs)
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert step.quality.after > 0.99
    session.undo()
    assert fingerprint(live) == before
    assert type(peek(live, inputs)) is type(answers)


class Views(nn.Module):
    """It views what a convolution gives as rows, which the kernels' memory format does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8 * 36, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x).view(len(x), -1))


def test_a_view_of_what_a_convolution_gives_goes_on_working(tmp_path: Path) -> None:
    live, x = Views().eval(), torch.randn(4, 3, 8, 8)
    fresh, answers = copy.deepcopy(live), live(x)
    session = jo.optimize(live, x)
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert cosine(live(x), answers) > 0.99
    # and from a file
    session.save(tmp_path / "saved")
    assert torch.equal(jo.load(fresh, tmp_path / "saved")(x), live(x))


def test_mixed_leaves_what_harms_and_quantizes_the_rest(tmp_path: Path) -> None:
    live, x = Harmed().eval(), torch.randn(256, 64)
    fresh, answers = copy.deepcopy(live), live(x)
    session = jo.optimize(live, x)
    assert session.apply("int8-static").verdict == "quality lost"
    assessment = session.assessments["int8-mixed"]
    assert assessment.applies, assessment.reason
    step = session.apply("int8-mixed", keep="always")
    assert step.accepted, step.reason
    assert "1 left as it was" in step.note
    assert isinstance(live.spoilt, nn.Linear)
    assert [type(each) for each in (live.first, live.last)] == [StaticInt8, StaticInt8]
    assert cosine(live(x), answers) > 0.99
    session.save(tmp_path / "saved")
    assert torch.equal(jo.load(fresh, tmp_path / "saved")(x), live(x))


@pytest.mark.parametrize(("bears", "left"), [(0.9, "1 left as it was"), (0.1, "3 Linears in int8")])
def test_mixed_asks_the_users_score_how_much_it_may_take(bears: float, left: str) -> None:
    live, x = Harmed().eval(), torch.randn(256, 64)
    answers, asked = live(x), []

    def score(model: nn.Module) -> float:
        asked.append(model)
        return float(cosine(model(x), answers) > bears)

    spoilt = copy.deepcopy(live)
    jo.optimize(spoilt, x).apply("int8-static", keep="always")
    # it has something to mind, and something to bear
    assert 0.1 < cosine(spoilt(x), answers) < 0.9
    session = jo.optimize(live, x, evaluate=score)
    assessment = session.assessments["int8-mixed"]
    assert "as your score bears" in assessment.reason
    assert asked == [], "a prediction does not ask it"
    step = session.apply("int8-mixed", keep="always")
    assert step.accepted, step.reason
    assert left in step.note
    assert (step.quality.metric, step.quality.after) == ("evaluate", 1.0)
    assert len(asked) <= 5


def test_a_real_language_model_keeps_its_answers_with_every_layer_in_int8() -> None:
    model, tokenizer = minilm.load()
    exact = minilm.retrieval(model, tokenizer)
    session = jo.optimize(model, minilm.batch(tokenizer))
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert "37 Linears in int8" in step.note
    assert step.quality.after > 0.98
    # 7 bits of weights, without VNNI, lose some answers more
    assert minilm.retrieval(model, tokenizer) >= (0.99 if has_vnni() else 0.94) * exact


def test_mixed_is_not_offered_where_all_layers_keep_the_quality() -> None:
    live, inputs = named("resnet18").build()
    assert "int8-static takes them all" in jo.optimize(live, inputs).assessments["int8-mixed"].reason


@pytest.mark.parametrize("name", ["resnet18", "mobilenet", "mlp"])
def test_the_work_is_counted_as_before(name: str) -> None:
    live, inputs = named(name).build()
    session = jo.optimize(live, inputs)
    before = session.report.flops.total
    assert session.apply("int8-static", keep="always").accepted
    assert session.report.flops.total == pytest.approx(before, rel=0.01)
    ours = [op for op in session.report.ops if op.name.startswith(("quantized::conv", "onednn::qlinear"))]
    assert {op.dtype for op in ours} == {"int8"}
