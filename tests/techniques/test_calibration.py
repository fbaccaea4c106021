"""Scales found on inputs of the user's own, in place of those of the run."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import jupyter_optim as jo
from jupyter_optim.progress import Progress
from jupyter_optim.techniques import calibration
from jupyter_optim.techniques.calibration import Calibration
from jupyter_optim.techniques.static_layers import StaticInt8
from jupyter_optim.workload import Workload
from tests.zoo import check_same, fingerprint, named
from tests.zoo.timings import short_timings

needs_engines = pytest.mark.skipif(find_spec("nncf") is None, reason="the extra `engines` is not installed")
ENGINES = ["openvino-int8", "onnxruntime-int8"]


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    torch.manual_seed(0)
    with short_timings(engines=True), torch.no_grad():
        yield


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).eval()


# what the cell is run on is ten times smaller than what is to come
SMALL, LARGE = 0.1 * torch.randn(16, 64), torch.randn(64, 64)


class Masked(nn.Module):
    """Takes two tensors and a flag."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, *, scaled: bool = False) -> torch.Tensor:
        y = self.fc(x).masked_fill(~mask, 0.0)
        return y / 2 if scaled else y


def read(given: Any, model: nn.Module, inputs: Any) -> list[Workload]:
    workload = Workload.of_call(model, inputs)
    return Calibration(given, workload).workloads(workload, Progress())


def same(found: Any, expected: Any) -> bool:
    return bool(torch.equal(found, expected)) if isinstance(expected, torch.Tensor) else found == expected


X, MASK, LABELS = torch.randn(4, 8), torch.ones(4, 8, dtype=torch.bool), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    "item",
    [
        (X, MASK), [X, MASK], (X, MASK, LABELS), {"x": X, "mask": MASK}, {"labels": LABELS, "mask": MASK, "x": X},
    ],
)  # fmt: skip
@pytest.mark.parametrize("inputs", [(X[:2], MASK[:2]), {"mask": MASK[:2], "scaled": True, "x": X[:2]}])
def test_each_form_of_inputs_becomes_a_call_like_the_one_measured(item: Any, inputs: Any) -> None:
    model = Masked().eval()
    (found,) = read([item], model, inputs)
    named = isinstance(inputs, dict)
    assert torch.equal(found.outputs(model), model(X, MASK, scaled=named))
    assert list(found.kwargs) == (list(inputs) if named else [])


def test_a_loader_gives_its_images_and_leaves_the_random_state_alone() -> None:
    model = nn.Linear(8, 2).eval()
    loader = DataLoader(TensorDataset(torch.randn(20, 8), torch.arange(20)), batch_size=8, shuffle=True)
    state = torch.get_rng_state()
    session = jo.optimize(model, X, calibration=loader)
    assert torch.equal(torch.get_rng_state(), state)
    step = session.apply("int8-static", keep="always")
    assert "scaled by 3 calibration inputs" in step.note


def test_inputs_that_are_lists_or_dicts_themselves_stay_whole() -> None:
    class Pair(nn.Module):
        def forward(self, given: Any) -> torch.Tensor:
            a, b = given.values() if isinstance(given, dict) else given
            return a + b

    for whole in ([X, X], {"a": X, "b": X}):
        (found,) = read([whole], Pair(), (whole,))
        assert torch.equal(found.outputs(Pair()), X + X)


def test_an_iterator_is_read_once_and_no_further_than_need_be(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def batches() -> Iterator[torch.Tensor]:
        buffer = torch.empty(4, 8)  # written anew for each batch, as loaders do
        for number in range(1000):
            given.append(number)
            yield buffer.fill_(number)

    workload = Workload.of_call(nn.Linear(8, 2), X)
    kept = Calibration(batches(), workload)
    assert given == [0], "the rest waits until a technique asks"
    for _ in range(2):
        found = kept.workloads(workload, Progress())
        assert [float(each.args[0][0, 0]) for each in found] == list(range(calibration.MOST_INPUTS))
    assert len(given) == calibration.MOST_INPUTS
    monkeypatch.setattr(calibration, "MOST_BYTES", 3 * X.numel() * 4)
    assert len(read(batches(), nn.Linear(8, 2), X)) == 3


def _broken() -> Iterator[torch.Tensor]:
    yield X
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (X, jo.InvalidOption, "give \\[inputs\\]"),
        ({"x": X}, jo.InvalidOption, "give \\[inputs\\]"),
        (3, jo.InvalidOption, "such as a list of batches or a DataLoader, and this is int"),
        ([], jo.InvalidInputs, "has no inputs; an iterator may have been used up"),
        (iter(()), jo.InvalidInputs, "has no inputs"),
        ([X.double()], jo.InvalidInputs, "input 1 is .*float64.* and the model was called with .*float32"),
        (X.unbind(), jo.InvalidInputs, "give whole batches"),
        ([X, "text"], jo.InvalidInputs, "input 2 has no input"),
        ([X, {"input": X}, {"output": X}], jo.InvalidInputs, "input 3 has no input, which the model was"),
        (_broken(), jo.InvalidInputs, "calibration raised OSError at input 2: the disk is gone"),
    ],
)  # fmt: skip
def test_what_is_no_calibration_is_refused_in_words(given: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        read(given, nn.Linear(8, 2), X)


def test_a_bad_first_input_is_refused_before_anything_is_measured() -> None:
    model = mlp()
    with pytest.raises(jo.InvalidInputs, match="whole batches"):
        jo.optimize(model, SMALL, calibration=LARGE.unbind())
    session = jo.optimize(model, SMALL)
    with pytest.raises(jo.InvalidInputs, match="whole batches"):
        jo.optimize(model, SMALL, calibration=LARGE.unbind())
    assert session.apply("int8-static", keep="always").accepted, "the session is as it was"


def test_a_bad_later_input_is_said_where_it_is_needed_and_the_rest_goes_on() -> None:
    session = jo.optimize(mlp(), SMALL, calibration=[LARGE, LARGE[:, :8]])
    assert "calibration input 2: the model raised RuntimeError" in session.assessments["int8-static"].reason
    assert session.assessments["int8-dynamic"].applies


def test_scales_are_those_of_the_calibration() -> None:
    fresh = mlp()
    expected = fresh(LARGE)
    found = {}
    for name, given in (("run", None), ("calibrated", LARGE.split(16))):
        model = copy.deepcopy(fresh)
        session = jo.optimize(model, SMALL, calibration=given)
        before = fingerprint(model)
        step = session.apply("int8-static", keep="always")
        assert step.accepted, step.reason
        assert ("scaled by 4 calibration inputs" in step.note) is (name == "calibrated")
        found[name] = cosine(model(LARGE), expected)
        session.undo()
        check_same(before, fingerprint(model))
    # what the run's inputs did not reach is cut off
    assert found["run"] < 0.9
    assert found["calibrated"] > 0.999


class Branching(nn.Module):
    """Takes its second layer for large values only."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        return self.two(x) if x.abs().max() < 1 else x


def test_a_layer_that_no_calibration_input_reaches_has_its_scale_from_the_run() -> None:
    model = Branching().eval()
    expected = model(SMALL)
    session = jo.optimize(model, SMALL, calibration=[LARGE])
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert isinstance(model.two, StaticInt8)
    assert cosine(model(SMALL), expected) > 0.95


def test_cancel_while_it_calibrates_leaves_the_model_as_it_was() -> None:
    model = mlp()
    session = jo.optimize(model, SMALL, calibration=LARGE.split(1))
    before = fingerprint(model)
    texts: list[str] = []

    def listener(text: str, _: float | None) -> None:
        texts.append(text)
        if text == "Calibrating on input 3 of 64":
            session.cancel()

    session.listen(listener)
    with pytest.raises(jo.Cancelled):
        session.apply("int8-static", keep="always")
    assert texts[-1] == "Calibrating on input 3 of 64"
    check_same(before, fingerprint(model))


@pytest.mark.parametrize("name", ["resnet18", "bert"])
def test_models_answer_alike_on_scales_of_several_batches(name: str) -> None:
    live, inputs = named(name).build()
    before = fingerprint(live)
    session = jo.optimize(live, inputs, calibration=[inputs, inputs, inputs])
    step = session.apply("int8-static", keep="always")
    assert step.accepted, step.reason
    assert step.quality.after > 0.99
    session.undo()
    assert fingerprint(live) == before


@needs_engines
@pytest.mark.parametrize("technique", ENGINES)
def test_engines_are_calibrated_on_it_too(technique: str) -> None:
    fresh, x = mlp(), LARGE[:16]
    expected = fresh(x)
    options = {"scales": "static"} if technique == "onnxruntime-int8" else {}
    found = {}
    for name, given in (("run", None), ("calibrated", [*LARGE.split(16), LARGE[:5]])):
        model = copy.deepcopy(fresh)
        step = jo.optimize(model, SMALL, calibration=given).apply(technique, keep="always", **options)
        assert step.accepted, step.reason
        assert ("scaled by the calibration inputs" in step.note) is (name == "calibrated")
        found[name] = cosine(model(x), expected)
    assert found["run"] < 0.95
    assert found["calibrated"] > 0.999


@needs_engines
@pytest.mark.parametrize("technique", ENGINES)
def test_their_source_is_calibrated_alike(technique: str, tmp_path: Path) -> None:
    model, batches = mlp(), list(LARGE.split(16))
    original = copy.deepcopy(model)
    options = {"scales": "static"} if technique == "onnxruntime-int8" else {"precision": "f32"}
    session = jo.optimize(model, SMALL, calibration=batches)
    assert session.apply(technique, keep="always", **options).accepted
    torch.save((original, SMALL, batches), tmp_path / "given.pt")
    script = tmp_path / "script.py"
    script.write_text(
        f"import torch\nmodel, x, batches = torch.load({str(tmp_path / 'given.pt')!r}, weights_only=False)\n"
        "example_inputs, calibration = (x,), [(each,) for each in batches]\n"
        + session.code()
        + f"\nwith torch.no_grad():\n    torch.save(model(x), {str(tmp_path / 'got.pt')!r})\n"
    )
    assert "jupyter_optim" not in session.code()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.allclose(torch.load(tmp_path / "got.pt"), model(SMALL), atol=1e-5)
