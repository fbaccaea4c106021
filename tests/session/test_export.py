"""Write a model for others: each file is run here, beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques.engines import extra
from tests.techniques.test_techniques import FLAT, IMAGE, cnn, mlp
from tests.zoo import check_same, fingerprint
from tests.zoo.timings import short_timings

ENDINGS = (".onnx", ".pt2", ".xml")


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


def run(path: Path, x: torch.Tensor) -> torch.Tensor:
    """What the file answers, in its own runtime."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(x).detach()
    if path.suffix == ".onnx":
        runtime = pytest.importorskip("onnxruntime").InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        return torch.from_numpy(runtime.run(None, {runtime.get_inputs()[0].name: x.numpy()})[0])
    core = pytest.importorskip("openvino").Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return torch.from_numpy(np.array(compiled([x.numpy()])[0]))


def _available(ending: str) -> None:
    for name in {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".xml": ("openvino",)}.get(ending, ()):
        pytest.importorskip(name)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("technique", [None, "prune-structured", "channels-last"])
def test_the_file_answers_like_the_model_for_any_batch(
    tmp_path: Path, ending: str, technique: str | None
) -> None:
    _available(ending)
    model = cnn()
    session = jo.optimize(model, IMAGE)
    if technique:
        session.apply(technique, keep="always")
    before = fingerprint(model)

    path = session.export(tmp_path / f"model{ending}")

    check_same(before, fingerprint(model))
    for batch in (IMAGE, torch.randn(7, 3, 16, 16)):
        with torch.no_grad():
            assert torch.allclose(run(path, batch), model(batch), atol=1e-4)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {path.name, *(["model.bin"] if ending == ".xml" else [])}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_compiled_and_a_16_bit_model_can_be_written(tmp_path: Path, ending: str) -> None:
    _available(ending)
    model = mlp()
    session = jo.optimize(model, FLAT)
    session.apply("bf16", keep="always")
    if ending == ".onnx":
        # ONNX Runtime multiplies no bfloat16 matrices on a CPU, so the file could not be compared
        with pytest.raises(jo.ExportFailed, match="In place: Use bfloat16"):
            session.export(tmp_path / f"half{ending}")
    else:
        path = session.export(tmp_path / f"half{ending}")
        with torch.no_grad():
            assert torch.allclose(run(path, FLAT), model(FLAT), atol=2e-2)
    session.reset()
    model.compile()
    again = session.export(tmp_path / f"compiled{ending}")
    with torch.no_grad():
        assert torch.allclose(run(again, FLAT), model(FLAT), atol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_packed_int8_weights_are_refused_in_words(tmp_path: Path, ending: str) -> None:
    _available(ending)
    session = jo.optimize(mlp(), FLAT)
    session.apply("int8-dynamic", keep="always", backend="torch.ao")
    with pytest.raises(jo.ExportFailed, match=r"torch's own int8 kernels.*Quantize to int8.*session\.save"):
        session.export(tmp_path / f"model{ending}")
    assert not list(tmp_path.iterdir())


class Unwritable(nn.Module):
    """Its way depends on its numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if float(x.sum()) > 0 else x


def test_what_cannot_be_traced_is_told_in_a_sentence(tmp_path: Path) -> None:
    session = jo.optimize(Unwritable(), FLAT)
    with pytest.raises(jo.ExportFailed, match=r"cannot be written as \.pt2: "):
        session.export(tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_another_ending_and_another_folder_are_refused(tmp_path: Path) -> None:
    session = jo.optimize(mlp(), FLAT)
    with pytest.raises(jo.InvalidOption, match=r"\.onnx, \.pt2"):
        session.export(tmp_path / "model.h5")
    with pytest.raises(jo.InvalidOption, match="There is no folder"):
        session.export(tmp_path / "nowhere" / "model.pt2")


@pytest.mark.parametrize(("ending", "package"), [(".onnx", "onnxscript"), (".xml", "openvino")])
def test_a_missing_package_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str
) -> None:
    session = jo.optimize(mlp(), FLAT)
    found = extra.find_spec
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(
        jo.MissingExtra, match=rf"{package}.* not installed: pip install 'jupyter-optim\[engines\]'"
    ):
        session.export(tmp_path / f"model{ending}")


def test_a_model_on_an_engine_is_refused_in_words(tmp_path: Path) -> None:
    _available(".xml")
    session = jo.optimize(mlp(), FLAT)
    step = session.apply("openvino", keep="always")
    assert step.accepted, step.reason
    with pytest.raises(jo.ExportFailed, match="runs on OpenVINO"):
        session.export(tmp_path / "model.xml")
