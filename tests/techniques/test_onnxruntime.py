"""A model on ONNX Runtime: what stands in for its forward is the same as for OpenVINO, and tested there."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

import jupyter_optim as jo
from jupyter_optim.techniques.engines import onnx_engine
from jupyter_optim.techniques.engines.flat import FlatCall
from jupyter_optim.techniques.engines.stand_in import stand_in_of
from tests.techniques.test_openvino import Classifier, counted
from tests.zoo import check_same, fingerprint, outputs_equal, peek
from tests.zoo.timings import short_timings

pytestmark = pytest.mark.skipif(
    find_spec("onnxruntime") is None, reason="the extra `engines` is not installed"
)
CASES: list[tuple[str, dict[str, Any], float]] = [
    ("onnxruntime", {}, 1e-4),
    ("onnxruntime-int8", {"scales": "dynamic"}, 0.1),
    ("onnxruntime-int8", {"scales": "static"}, 0.1),
]


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings(engines=True):
        yield


@pytest.mark.parametrize(("technique", "options", "near"), CASES, ids=["float32", "dynamic", "static"])
def test_the_object_stays_what_it_was_and_comes_back_to_the_bit(
    technique: str, options: dict[str, Any], near: float
) -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    inputs = {"x": torch.randn(4, 16), "mask": torch.ones(4, 8, dtype=torch.bool)}
    before, expected = fingerprint(model), peek(model, inputs)
    session = jo.optimize(model, inputs)
    step = session.apply(technique, keep="always", **options)
    assert step.accepted, step.reason
    assert "ONNX Runtime, " in step.reason
    engine = counted(model)
    with torch.no_grad():
        answer = model(**inputs)
    assert engine.answers == 1
    assert type(answer) is type(expected)
    assert answer.best.dtype is torch.int64
    assert torch.allclose(answer.scores, expected.scores, atol=near)
    session.undo()
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)


def test_its_threads_leave_the_cores_to_what_comes_next() -> None:
    # by default they spin for 50 ms behind each call, and slow down whatever runs then: the model beside it, say
    model = Classifier().eval()
    session = jo.optimize(model, torch.randn(4, 16))
    session.apply("onnxruntime", keep="always")
    stand_in = stand_in_of(model)
    assert stand_in is not None
    options = stand_in.engine._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert "force_spinning_stop" in session.code()


def test_other_batch_sizes_are_the_engines_after_one_look() -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    own = copy.deepcopy(model)
    jo.optimize(model, torch.randn(4, 16)).apply("onnxruntime", keep="always")
    engine = counted(model)
    with torch.no_grad():
        for size in (2, 9):
            x = torch.randn(size, 16)
            model(x)
            assert torch.allclose(model(x).scores, own(x).scores, atol=1e-4)
    assert engine.answers == 4
    stand_in = stand_in_of(model)
    assert stand_in is not None
    assert all(stand_in._agreed.values())


def test_a_shape_that_the_graph_does_not_take_is_pytorchs_also_after_many_that_it_took() -> None:
    # GIVEN a graph with one dimension open, and the engine right for many sizes of that
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 8).eval()
    own = copy.deepcopy(model)
    jo.optimize(model, torch.randn(4, 7, 16)).apply("onnxruntime", keep="always")
    with torch.no_grad():
        for size in range(2, 14):
            model(torch.randn(size, 7, 16))
        # WHEN another dimension is another
        x = torch.randn(3, 9, 16)
        with pytest.warns(UserWarning, match="to inputs of this form") as told:
            answers = [model(x) for _ in range(3)]
    # THEN nothing is raised
    assert len(told) == 1
    assert all(torch.equal(each, own(x)) for each in answers)
    # AND neither where gradients may be asked for
    other = torch.randn(5, 9, 16)
    answer = model(other)
    assert torch.equal(answer, own(other))
    answer.sum().backward()
    assert model.weight.grad is not None


def test_nothing_is_written_into_the_cell(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, x = Classifier().eval(), torch.randn(4, 16)
    session = jo.optimize(model, x)
    capfd.readouterr()
    caplog.clear()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        for scales in ("dynamic", "static"):
            session.apply("onnxruntime-int8", keep="always", scales=scales)
            session.undo()
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
    assert caplog.records == []


def test_a_model_that_was_built_in_inference_mode_is_converted() -> None:
    with torch.inference_mode():
        model, x = torch.nn.Sequential(torch.nn.Linear(16, 8)).eval(), torch.randn(4, 16)
        expected = model(x)
        step = jo.optimize(model, x).apply("onnxruntime", keep="always")
        assert step.accepted, step.reason
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("scales", ["dynamic", "static"])
@pytest.mark.parametrize(("vnni", "widest"), [(True, 127), (False, 64)])
def test_weights_are_narrow_where_int8_products_would_overflow(
    monkeypatch: pytest.MonkeyPatch, scales: str, vnni: bool, widest: int
) -> None:
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(onnx_engine, "has_vnni", lambda: vnni)
    torch.manual_seed(0)
    model, x = torch.nn.Linear(64, 64).eval(), torch.randn(4, 64)
    graph = onnx_engine.exported(FlatCall(model, (x,), {}), [x])
    found = onnx.load_from_string(onnx_engine.quantized(graph, [[x]] if scales == "static" else None))
    arrays = [onnx.numpy_helper.to_array(each) for each in found.graph.initializer]
    assert max(np.abs(each.astype(int)).max() for each in arrays if each.dtype == np.int8) == widest
