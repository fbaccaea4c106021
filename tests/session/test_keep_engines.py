"""A model on an engine, saved and made anew: converted again from the weights that were saved, with equal answers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques import openvino as technique_module
from jupyter_optim.techniques.engines import extra
from jupyter_optim.techniques.engines.stand_in import stand_in_of
from tests.session.test_keep import shaken
from tests.techniques.test_openvino import Classifier, counted
from tests.techniques.test_techniques import IMAGE, cnn
from tests.zoo import check_same, fingerprint, outputs_equal, peek
from tests.zoo.timings import short_timings

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `engines` is not installed")

CASES: list[tuple[str, dict[str, Any]]] = [
    ("openvino", {"precision": "f32"}),
    ("openvino", {"precision": "bf16"}),
    ("openvino-int8", {"precision": "f32"}),
    ("openvino-int8", {}),
    ("onnxruntime", {}),
    ("onnxruntime-int8", {"scales": "dynamic"}),
    ("onnxruntime-int8", {"scales": "static"}),
]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return Classifier().eval()


def inputs(seed: int = 1) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(4, 16, generator=made), "mask": torch.ones(4, 8, dtype=torch.bool)}


def saved(path: Path, name: str, **options: Any) -> nn.Module:
    """A model on that engine, written to `path`."""
    model = classifier()
    session = jo.optimize(model, inputs(), calibration=options.pop("calibration", None))
    step = session.apply(name, keep="always", **options)
    assert step.accepted, step.reason
    assert session.save(path) == path
    return model


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_fresh_original_is_converted_again_and_answers_the_same(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    # GIVEN a saved model that runs on an engine, and an original with other weights
    model = saved(tmp_path / "kept", name, **options)
    assert {each.suffix for each in (tmp_path / "kept").iterdir()} == {".json", ".safetensors"}
    fresh = shaken(classifier())

    # WHEN it is loaded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jo.load(fresh, tmp_path / "kept", inputs()) is fresh

    # THEN the engine answers, and equally, also to other inputs
    engine = counted(fresh)
    for given in (inputs(), inputs(2)):
        assert outputs_equal(peek(fresh, given), peek(model, given))
    assert engine.answers == 2
    assert type(fresh) is Classifier
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), model.parameters(), strict=True))


def test_it_can_be_trained_and_measured_afterwards(tmp_path: Path) -> None:
    saved(tmp_path / "kept", "openvino", precision="f32")
    fresh = jo.load(classifier().train(), tmp_path / "kept", inputs())
    # its mode is its own
    assert all(module.training for module in fresh.modules())
    with pytest.warns(UserWarning, match="in train mode"):
        assert fresh(**inputs()).scores.requires_grad
    fresh.eval()
    engine = counted(fresh)
    peek(fresh, inputs())
    assert engine.answers == 1
    session = jo.optimize(fresh, inputs())
    assert "runs on OpenVINO" in session.assessments["bf16"].reason


def test_a_chain_is_made_anew_in_its_order(tmp_path: Path) -> None:
    model = cnn()
    session = jo.optimize(model, IMAGE, max_drop=1.0)
    for name, options in (
        ("prune-structured", {"ratio": 0.5}),
        ("fold-batchnorm", {}),
        ("openvino-int8", {}),
    ):
        assert session.apply(name, keep="always", **options).accepted
    session.save(tmp_path / "kept")
    fresh = jo.load(shaken(cnn()), tmp_path / "kept", IMAGE)
    assert outputs_equal(peek(fresh, IMAGE), peek(model, IMAGE))
    assert stand_in_of(fresh) is not None


def test_without_inputs_it_asks_for_them_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    saved(tmp_path / "kept", "openvino", precision="f32")
    fresh = classifier()
    before = fingerprint(fresh)
    with pytest.raises(jo.NotApplicable, match="give `inputs`"):
        jo.load(fresh, tmp_path / "kept")
    check_same(before, fingerprint(fresh))


@pytest.mark.parametrize("name", ["openvino-int8", "onnxruntime-int8"])
def test_scales_of_calibration_inputs_come_from_those_again(tmp_path: Path, name: str) -> None:
    batches = [inputs(seed) for seed in range(5, 9)]
    options = {"scales": "static"} if name == "onnxruntime-int8" else {}
    model = saved(tmp_path / "kept", name, calibration=batches, **options)
    with pytest.raises(jo.NotApplicable, match="as `calibration`"):
        jo.load(classifier(), tmp_path / "kept", inputs())
    fresh = jo.load(shaken(classifier()), tmp_path / "kept", inputs(), calibration=batches)
    assert outputs_equal(peek(fresh, inputs(3)), peek(model, inputs(3)))


def test_scales_of_other_inputs_are_said_to_be_others(tmp_path: Path) -> None:
    model = saved(tmp_path / "kept", "openvino-int8", precision="f32")
    other = {key: value * 0.5 if value.is_floating_point() else value for key, value in inputs(7).items()}
    with pytest.warns(UserWarning, match="scales on other inputs"):
        fresh = jo.load(classifier(), tmp_path / "kept", other)
    found, expected = peek(fresh, inputs()).scores, peek(model, inputs()).scores
    # what is twice as large as those is cut off
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.8


def test_where_the_engine_is_not_installed_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "kept", "onnxruntime")
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    fresh = classifier()
    before = fingerprint(fresh)
    with pytest.raises(jo.OptimError, match=r"pip install 'jupyter-optim\[engines\]'"):
        jo.load(fresh, tmp_path / "kept", inputs())
    check_same(before, fingerprint(fresh))


def test_a_recipe_of_an_unknown_form_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "kept", "openvino", precision="f32")
    file = tmp_path / "kept" / "recipe.json"
    recipe = json.loads(file.read_bytes())
    recipe["steps"][0]["facts"]["word"] = "f8"
    file.write_text(json.dumps(recipe))
    fresh = classifier()
    before = fingerprint(fresh)
    with pytest.raises(jo.InvalidRecipe, match="cannot be made anew"):
        jo.load(fresh, tmp_path / "kept", inputs())
    check_same(before, fingerprint(fresh))


def test_what_was_saved_in_bfloat16_is_float32_where_the_cpu_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(technique_module, "precisions", lambda: ("bf16", "f32"))
    saved(tmp_path / "kept", "openvino", precision="bf16")
    monkeypatch.setattr(technique_module, "precisions", lambda: ("f32",))
    fresh = classifier()
    expected = peek(fresh, inputs()).scores
    jo.load(fresh, tmp_path / "kept", inputs())
    stand_in = stand_in_of(fresh)
    assert stand_in is not None
    assert stand_in.engine._settings["INFERENCE_PRECISION_HINT"] == "f32"
    assert torch.allclose(peek(fresh, inputs()).scores, expected, atol=1e-4)
