"""A model on TensorRT, all but TensorRT itself: `torch_tensorrt` is a package that runs what it gets by PyTorch.

It takes what the real one takes (`torch_tensorrt.dynamo.compile` of 2.11 to 2.14) on the CPU. The real one is tried in
`tests/test_gpu.py`.
"""

from __future__ import annotations

import copy
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques.engines import extra
from jupyter_optim.techniques.engines.forward_call import ForwardCall
from jupyter_optim.techniques.engines.stand_in import stand_in_of
from jupyter_optim.techniques.engines.suited import checked, elsewhere
from jupyter_optim.techniques.engines.tensorrt_engine import torch_tensorrt
from jupyter_optim.techniques.tensorrt import TensorRt
from tests.techniques.test_openvino import Classifier, counted, mlp
from tests.zoo import check_same, fingerprint, outputs_equal, peek
from tests.zoo.timings import short_timings

_PACKAGE = """\
import logging

logging.captureWarnings(True)

from torch_tensorrt import dynamo
"""
_DYNAMO = """\
import torch

programs, takes_nothing = [], False


class Part(torch.nn.Module):
    serialized_engine = bytes(1000)

    def __init__(self, program):
        super().__init__()
        self.called = program.module(check_guards=False)
        self.bounds = {str(name): (1, each.upper) for name, each in program.range_constraints.items()}
        self.shapes = [
            node.meta["val"].shape for node in program.graph.nodes if node.name in program.graph_signature.user_inputs
        ]

    def forward(self, *tensors):
        for tensor, shape in zip(tensors, self.shapes, strict=True):
            for size, wanted in zip(tensor.shape, shape, strict=True):
                low, high = self.bounds.get(str(wanted), (wanted, wanted))
                if not low <= size <= high:
                    raise RuntimeError("satisfyProfile: no such shape")
        return self.called(*tensors)


class Compiled(torch.nn.Module):
    def __init__(self, program):
        super().__init__()
        self.add_module("_run_on_gpu_0" if takes_nothing else "_run_on_acc_0", Part(program))

    def forward(self, *tensors):
        return next(self.children())(*tensors)


def compile(exported_program, inputs=None, *, device=None):
    assert all(each.is_contiguous() and each.device == device for each in inputs)
    programs.append(exported_program)
    return Compiled(exported_program)
"""


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings(engines=True):
        yield


@pytest.fixture
def tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`torch_tensorrt.dynamo`, not yet imported by anybody else, for models on the CPU."""
    (tmp_path / "torch_tensorrt").mkdir()
    (tmp_path / "torch_tensorrt/__init__.py").write_text(_PACKAGE)
    (tmp_path / "torch_tensorrt/dynamo.py").write_text(_DYNAMO)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(TensorRt, "device", "cpu")
    yield torch_tensorrt().dynamo
    for name in ("torch_tensorrt", "torch_tensorrt.dynamo"):
        del sys.modules[name]


def on_tensorrt(model: nn.Module, inputs: Any, **options: Any) -> jo.Session:
    session = jo.optimize(model, inputs)
    step = session.apply("tensorrt", keep="always", **options)
    assert step.accepted, step.reason
    return session


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-6), ("float16", 5e-3), ("bfloat16", 0.05)])
def test_the_object_stays_what_it_was_and_comes_back_to_the_bit(
    tensorrt: Any, precision: str, near: float
) -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    inputs = {"x": torch.randn(4, 16), "mask": torch.ones(4, 8, dtype=torch.bool)}
    before, expected = fingerprint(model), peek(model, inputs)
    session = on_tensorrt(model, inputs, precision=precision)
    assert f"(TensorRT, {precision}; built in " in session.history[0].reason
    engine = counted(model)
    with torch.no_grad():
        answer = model(**inputs)
    assert engine.answers == 1
    assert engine.held_bytes == 1000
    assert type(answer) is type(expected)
    assert [answer.scores.dtype, answer.best.dtype] == [torch.float32, torch.int64]
    assert torch.allclose(answer.scores, expected.scores, atol=near)
    assert torch.equal(answer.scores, expected.scores) == (precision == "float32")
    # what TensorRT got is of one type, its inputs and answers are as before
    weights = {each.dtype for each in tensorrt.programs[-1].state_dict.values()}
    assert weights == {getattr(torch, precision)}
    session.undo()
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)


def test_indices_stay_indices(tensorrt: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5000, 16), nn.Linear(16, 8)).eval()
    ids = torch.tensor([[4999, 4997, 2049]] * 2)
    expected = peek(model, ids)
    on_tensorrt(model, ids)
    assert torch.allclose(peek(model, ids), expected, atol=5e-3)


def test_batches_up_to_four_times_as_large_are_the_engines_and_others_pytorchs(tensorrt: Any) -> None:
    torch.manual_seed(0)
    model = mlp()
    own = copy.deepcopy(model)
    on_tensorrt(model, torch.randn(4, 16), precision="float32")
    engine = counted(model)
    with torch.no_grad():
        for size in (1, *range(5, 17)):
            x = torch.randn(size, 16)
            assert torch.allclose(model(x), own(x), atol=1e-6)
        assert engine.answers == 13
        x = torch.randn(17, 16)
        with pytest.warns(UserWarning, match="TensorRT is not used: it does not answer as the model does"):
            assert torch.equal(model(x), own(x))
        tried = engine.answers
        assert torch.equal(model(x), own(x))
        assert engine.answers == tried


def test_for_one_shape_alone_others_are_pytorchs(tensorrt: Any) -> None:
    model = mlp()
    own = copy.deepcopy(model)
    on_tensorrt(model, torch.randn(4, 16), dynamic_batch=False)
    assert not tensorrt.programs[-1].range_constraints
    x = torch.randn(5, 16)
    with torch.no_grad(), pytest.warns(UserWarning, match="to inputs of this form"):
        assert torch.equal(model(x), own(x))


def test_train_mode_gradients_and_changed_weights_are_pytorchs_with_one_warning(tensorrt: Any) -> None:
    model, x = mlp(), torch.randn(4, 16)
    on_tensorrt(model, x)
    engine = counted(model)
    model.train()
    with pytest.warns(UserWarning, match="TensorRT is not used: the model is in train mode") as told:
        answers = [model(x) for _ in range(3)]
    assert len(told) == 1
    assert all(each.requires_grad for each in answers)
    model.eval()
    with pytest.warns(UserWarning, match="an input wants gradients"):
        model(x.clone().requires_grad_()).sum().backward()
    with torch.no_grad():
        model[0].bias.add_(1)
        with pytest.warns(UserWarning, match="weights were changed, and it has the old ones"):
            assert torch.equal(model(x), model[2](model[1](model[0](x))))
    assert engine.answers == 0


def test_models_in_16_bits_are_taken_too(tensorrt: Any) -> None:
    torch.manual_seed(0)
    model, x = mlp().half(), torch.randn(4, 16).half()
    expected = peek(model, x)
    on_tensorrt(model, x)
    engine = counted(model)
    answer = peek(model, x)
    assert engine.answers == 1
    assert answer.dtype is torch.float16
    assert torch.allclose(answer, expected, atol=2e-3)


def test_inputs_in_bfloat16_are_for_engines_on_gpus() -> None:
    x = torch.randn(4, 16).bfloat16()
    call = ForwardCall(mlp().bfloat16(), (x,), {}, x)
    with pytest.raises(jo.NotApplicable, match="of a type that engines do not take"):
        checked(call, torch.device("cpu"))


def test_a_model_that_it_has_no_operation_of_is_left_alone(
    tensorrt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "takes_nothing", True)
    model, x = mlp(), torch.randn(4, 16)
    session, before = jo.optimize(model, x), fingerprint(model)
    step = session.apply("tensorrt", keep="always")
    assert step.verdict == "failed"
    assert "TensorRT has none of its operations" in step.reason
    check_same(before, fingerprint(model))


def test_cancel_while_it_builds_takes_effect_at_once(tensorrt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = mlp(), torch.randn(4, 16)
    session, before = jo.optimize(model, x), fingerprint(model)
    goes_on, real = threading.Event(), tensorrt.compile

    def slow(*given: Any, **settings: Any) -> Any:
        session.cancel()
        goes_on.wait()
        return real(*given, **settings)

    monkeypatch.setattr(tensorrt, "compile", slow)
    with pytest.raises(jo.Cancelled):
        session.apply("tensorrt", keep="always")
    check_same(before, fingerprint(model))
    monkeypatch.setattr(tensorrt, "compile", real)
    goes_on.set()
    assert session.apply("tensorrt", keep="always").accepted


def test_its_gain_is_not_predicted_and_it_says_why(tensorrt: Any) -> None:
    assessment = jo.optimize(mlp(), torch.randn(4, 16)).assessments["tensorrt"]
    assert assessment.applies
    assert assessment.predicted_speedup is None
    assert (
        assessment.method == "not predicted: to convert it takes seconds to minutes, and a click measures it"
    )
    assert not tensorrt.programs


@pytest.mark.parametrize("dynamic_batch", [True, False])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_its_source_does_the_same_without_this_package(
    tensorrt: Any, precision: str, dynamic_batch: bool
) -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    inputs = {"x": torch.randn(4, 16), "mask": torch.ones(4, 8, dtype=torch.bool)}
    own = copy.deepcopy(model)
    session = on_tensorrt(model, inputs, precision=precision, dynamic_batch=dynamic_batch)
    assert "jupyter_optim" not in session.code().split("\n\n", 1)[1]
    exec(compile(session.code(), "code", "exec"), {"model": own, "example_inputs": inputs})
    assert bool(tensorrt.programs[-1].range_constraints) == dynamic_batch
    with torch.no_grad():
        mine, theirs = model(**inputs), own(**inputs)
    assert torch.allclose(mine.scores, theirs.scores, atol=2e-3 if precision == "float16" else 1e-6)
    assert torch.equal(mine.best, theirs.best)
    assert theirs.scores.dtype is torch.float32


def test_a_saved_model_is_built_anew(tensorrt: Any, tmp_path: Path) -> None:
    model, x = mlp(), torch.randn(4, 16)
    session = on_tensorrt(model, x, precision="bfloat16")
    session.save(tmp_path / "kept")
    again = jo.load(mlp(), tmp_path / "kept", x)
    assert counted(again).label == "TensorRT"
    assert torch.equal(peek(again, x), peek(model, x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8"}, "precision='int8': choose one of float16, bfloat16, float32"),
        ({"dynamic_batch": 8}, "dynamic_batch=8: give True or False"),
        ({"presicion": "float16"}, "tensorrt has no option 'presicion'. It has: precision, dynamic_batch"),
    ],
)
def test_options_that_it_has_not_are_refused(tensorrt: Any, options: dict[str, Any], words: str) -> None:
    session = jo.optimize(mlp(), torch.randn(4, 16))
    with pytest.raises(jo.InvalidOption) as refused:
        session.apply("tensorrt", **options)
    assert words in str(refused.value)
    assert session.history == ()


def test_a_model_on_the_cpu_is_told_what_to_take_whether_or_not_it_is_installed() -> None:
    assessment = jo.optimize(mlp(), torch.randn(4, 16)).assessments["tensorrt"]
    assert not assessment.applies
    assert assessment.reason == (
        "this engine runs on NVIDIA GPUs, and the model is on the CPU: take `openvino` or `onnxruntime`"
    )


def test_a_model_on_a_gpu_is_told_too() -> None:
    gpu = torch.device("cuda", 1)
    assert elsewhere(gpu, "cuda") is None
    assert elsewhere(gpu, "cpu") == "this engine runs on the CPU, and the model is on a GPU: take `tensorrt`"
    assert elsewhere(torch.device("mps"), "cuda") == (
        "this engine runs on NVIDIA GPUs, and the model is on MPS"
    )


def test_where_it_is_not_installed_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorRt, "device", "cpu")
    monkeypatch.setattr(extra, "find_spec", lambda name: None if "tensorrt" in name else find_spec(name))
    session = jo.optimize(mlp(), torch.randn(4, 16))
    assessment = session.assessments["tensorrt"]
    assert not assessment.applies
    assert assessment.reason == "torch_tensorrt is not installed: pip install 'jupyter-optim[tensorrt]'"
    with pytest.raises(jo.NotApplicable, match="pip install 'jupyter-optim"):
        session.apply("tensorrt")


def test_its_import_leaves_the_users_warnings_visible(tensorrt: Any) -> None:
    # the import has them logged, where nobody sees them
    assert logging._warnings_showwarning is None
    on_tensorrt(mlp(), torch.randn(4, 16))
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)


def test_nothing_is_written_into_the_cell(
    tensorrt: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, x = Classifier().eval(), torch.randn(1, 16)
    session = jo.optimize(model, x)
    capfd.readouterr()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        session.apply("tensorrt", keep="always")
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
    assert caplog.records == []
    assert stand_in_of(model) is not None
