"""A model on OpenVINO: the same object with the same answers, and PyTorch wherever the engine cannot answer."""

from __future__ import annotations

import copy
import io
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.progress import Progress
from jupyter_optim.quiet import quiet
from jupyter_optim.techniques import openvino as technique_module
from jupyter_optim.techniques.engines import extra, nncf_quantizer, openvino_request, trial
from jupyter_optim.techniques.engines.flat import FlatCall
from jupyter_optim.techniques.engines.openvino_engine import converted
from jupyter_optim.techniques.engines.stand_in import stand_in_of
from tests.zoo import check_same, fingerprint, named, outputs_equal, peek
from tests.zoo.timings import short_timings

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `engines` is not installed")


@pytest.fixture(autouse=True)
def _short() -> Iterator[None]:
    with short_timings(engines=True):
        yield


@dataclass
class Answer:
    scores: torch.Tensor
    best: torch.Tensor
    name: str | None = None


class Classifier(nn.Module):
    """Answers with a dataclass, and takes a mask by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Dropout(0.5), nn.Linear(64, 8))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> Answer:
        scores = self.body(x)
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e4)
        return Answer(scores, scores.argmax(-1))


class Fickle(nn.Module):
    """Answers otherwise to large batches, which a trace of a small one does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).flip(-1) if len(x) > 4 else self.fc(x)


SMALL = [64 * 1024, -1]
"""Bytes up to which OpenVINO's inputs and answers are copied: all of these models', and none."""


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()


def on_openvino(model: nn.Module, inputs: Any, technique: str = "openvino", **options: Any) -> jo.Session:
    session = jo.optimize(model, inputs)
    step = session.apply(technique, keep="always", **options)
    assert step.accepted, step.reason
    return session


class Counting:
    """An engine that counts its answers."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.answers = engine, 0
        self.label, self.held_bytes, self.device = engine.label, engine.held_bytes, engine.device

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        self.answers += 1
        return self._engine.run(tensors)


def counted(model: nn.Module) -> Counting:
    stand_in = stand_in_of(model)
    assert stand_in is not None
    stand_in.engine = Counting(stand_in.engine)
    return stand_in.engine


@pytest.mark.parametrize("technique", ["openvino", "openvino-int8"])
def test_the_object_stays_what_it_was_and_comes_back_to_the_bit(technique: str) -> None:
    torch.manual_seed(0)
    model, x = Classifier().eval(), torch.randn(4, 16)
    inputs = {"x": x, "mask": torch.ones(4, 8, dtype=torch.bool)}
    before, weights = fingerprint(model), {k: v.clone() for k, v in model.state_dict().items()}
    expected = peek(model, inputs)
    session = on_openvino(model, inputs, technique)
    engine = counted(model)
    with torch.no_grad():
        answer = model(**inputs)
    # class, state_dict, type and structure of the answers
    assert type(model) is Classifier
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(model.state_dict()[key], weights[key]) for key in weights)
    assert type(answer) is Answer
    assert (answer.best.dtype, answer.name) == (torch.int64, None)
    assert torch.allclose(answer.scores, expected.scores, atol=0.1)
    assert engine.answers == 1
    session.undo()
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)


def test_train_mode_is_pytorchs_with_one_warning() -> None:
    model, x = mlp(), torch.randn(4, 16)
    own = copy.deepcopy(model)
    on_openvino(model, x)
    model.train()
    with pytest.warns(UserWarning, match="OpenVINO is not used: the model is in train mode") as told:
        answers = [model(x) for _ in range(3)]
    assert len([each for each in told if "OpenVINO" in str(each.message)]) == 1
    assert torch.equal(answers[0], own(x))
    answers[0].sum().backward()
    own(x).sum().backward()
    assert torch.equal(model[0].weight.grad, own[0].weight.grad)


def test_gradients_of_inputs_are_pytorchs_with_one_warning() -> None:
    model, x = mlp(), torch.randn(4, 16)
    own = copy.deepcopy(model)
    on_openvino(model, x)
    for_model, for_own = x.clone().requires_grad_(), x.clone().requires_grad_()
    with pytest.warns(UserWarning, match="an input wants gradients"):
        model(for_model).square().sum().backward()
    own(for_own).square().sum().backward()
    assert torch.equal(for_model.grad, for_own.grad)


def test_who_forgot_no_grad_gets_the_engine_and_can_still_call_backward() -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(4, 16)
    own = copy.deepcopy(model)
    on_openvino(model, x, precision="f32")
    engine = counted(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = model(x)
    assert answers.requires_grad
    assert engine.answers == 1
    assert torch.allclose(answers, own(x), atol=1e-4)
    answers.sum().backward()
    own(x).sum().backward()
    for mine, theirs in zip(model.parameters(), own.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)


def test_other_batch_sizes_are_checked_once_and_then_the_engines() -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    own = copy.deepcopy(model)
    on_openvino(model, torch.randn(4, 16), precision="f32")
    originals: list[int] = []
    model.body[0].register_forward_hook(lambda module, args, output: originals.append(len(output)))
    engine = counted(model)
    with torch.no_grad():
        for number, size in enumerate((1, 9)):
            x = torch.randn(size, 16)
            first, second, third, expected = model(x), model(x), model(x), own(x)
            # PyTorch answered the first call alone, the engine all three
            assert originals == [1, 9][: number + 1]
            assert engine.answers == 3 * (number + 1)
            assert torch.equal(first.scores, expected.scores)
            assert torch.equal(second.scores, third.scores)
            assert torch.allclose(second.scores, expected.scores, atol=1e-4)
            assert torch.equal(second.best, expected.best)


def test_where_the_engine_is_wrong_for_a_shape_pytorch_goes_on_answering() -> None:
    torch.manual_seed(0)
    model = Fickle().eval()
    own = copy.deepcopy(model)
    on_openvino(model, torch.randn(2, 16))
    engine = counted(model)
    x = torch.randn(8, 16)
    with torch.no_grad():
        with pytest.warns(UserWarning, match="does not answer as the model does"):
            answers = [model(x) for _ in range(3)]
        assert engine.answers == 1
        assert all(torch.equal(each, own(x)) for each in answers)


@pytest.mark.parametrize("change", ["in place", "new data", "new parameter", "new layer"])
def test_changed_weights_are_noticed(change: str) -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(4, 16)
    session = on_openvino(model, x)
    with torch.no_grad():
        model(x)
        if change == "in place":
            model[2].weight.mul_(2)
        elif change == "new data":
            model[2].weight.data = model[2].weight.data * 2
        elif change == "new parameter":
            model[2].weight = nn.Parameter(model[2].weight * 2)
        else:
            model[2] = nn.Linear(32, 4)
        expected = model[2](model[1](model[0](x)))
        with pytest.warns(UserWarning, match="weights were changed, and it has the old ones"):
            assert torch.equal(model(x), expected)
    session.undo()


@pytest.mark.parametrize("technique", ["openvino", "openvino-int8", "onnxruntime", "onnxruntime-int8"])
@pytest.mark.parametrize("entry", ["weight-norm-old", "spectral-norm-old", "pruned-by-mask"])
def test_weights_that_hooks_of_pytorchs_own_compute_are_converted(entry: str, technique: str) -> None:
    torch.manual_seed(0)
    model, x = named(entry).build()
    model.eval()
    before, expected = fingerprint(model), peek(model, x)
    session = jo.optimize(model, x)
    step = session.apply(technique, keep="always")
    assert step.accepted, step.reason
    stand_in = stand_in_of(model)
    assert stand_in is not None
    with torch.no_grad():
        answers = model(x)
        assert torch.nn.functional.cosine_similarity(answers.flatten(), expected.flatten(), dim=0) > 0.999
        source = next(value for name, value in model.named_parameters() if name.endswith(("_orig", "_g")))
        kept = source.clone()
        source[0].mul_(-1)
        with pytest.warns(UserWarning, match="weights were changed"):
            changed = model(x)
        source.copy_(kept)
    assert not torch.allclose(changed, answers, atol=1e-3)
    session.undo()
    check_same(before, fingerprint(model), but=("versions",))  # the two writes above


def test_weights_changed_before_the_first_call_are_noticed_too() -> None:
    model, x = mlp(), torch.randn(4, 16)
    on_openvino(model, x)
    stand_in = stand_in_of(model)
    assert stand_in is not None
    stand_in._watches.clear()  # as if nothing had called it
    with torch.no_grad():
        model[0].bias.add_(1)
        expected = model[2](model[1](model[0](x)))
        with pytest.warns(UserWarning, match="weights were changed"):
            assert torch.equal(model(x), expected)


def test_copies_answer_for_themselves_and_saved_models_come_back_without_it() -> None:
    model, x = mlp(), torch.randn(4, 16)
    own = copy.deepcopy(model)
    on_openvino(model, x, precision="f32")
    with torch.no_grad():
        copied = copy.deepcopy(model)
        answers = model(x)
        assert torch.equal(copied(x), answers)
        copied[0].weight.zero_()
        with pytest.warns(UserWarning, match="weights were changed"):
            assert not torch.equal(copied(x), answers)
        assert torch.equal(model(x), answers)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        again = torch.load(file, weights_only=False)
        assert stand_in_of(again) is None
        assert torch.equal(again(x), own(x))


def test_other_techniques_say_that_it_must_be_undone_first() -> None:
    model, x = mlp(), torch.randn(4, 16)
    session = on_openvino(model, x)
    for name in ("int8-dynamic", "bf16", "compile", "openvino"):
        assert not session.assessments[name].applies
        assert "runs on OpenVINO" in session.assessments[name].reason
    session.undo()
    assert session.assessments["bf16"].applies


def test_building_is_counted_and_the_second_copy_of_the_weights_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    session = jo.optimize(model, torch.randn(4, 256))
    step = session.apply("openvino-int8", keep="always")
    assert "built in " in step.reason
    # a quarter more: the weights in 8 bits beside PyTorch's own
    assert step.size_ratio == pytest.approx(1.25, abs=0.02)


def test_the_report_names_the_engine_and_claims_no_work_that_it_cannot_see() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    with torch.no_grad():
        report = on_openvino(model, torch.randn(64, 256)).report
    most = max(report.ops, key=lambda op: op.share)
    assert most.name == "openvino::infer"
    assert most.flops is None
    assert report.flops.total is None
    assert "have no formula" in report.flops.reason


def test_models_of_transformers_do_not_talk_of_losses_while_they_are_converted() -> None:
    # they do where their attributes are read, which tracing does
    logger = logging.getLogger("transformers.modeling_utils")
    with quiet():
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)


def test_nothing_is_written_into_the_cell(capfd: pytest.CaptureFixture[str]) -> None:
    model, x = Classifier().eval(), torch.randn(4, 16)
    session = jo.optimize(model, x)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.apply("openvino-int8", keep="always")
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")


def test_cancel_while_it_quantizes_leaves_the_model_as_it_was() -> None:
    model, x = mlp(), torch.randn(4, 16)
    session = jo.optimize(model, x)
    before = fingerprint(model)
    texts: list[str] = []

    def listener(text: str, _: float | None) -> None:
        texts.append(text)
        if text.startswith("Quantizing"):
            session.cancel()

    session.listen(listener)
    with pytest.raises(jo.Cancelled):
        session.apply("openvino-int8")
    assert any(text.startswith("Quantizing") for text in texts)
    check_same(before, fingerprint(model))
    assert session.history == ()


class WithLoss(nn.Module):
    """Has an op that OpenVINO converts from an exported program alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.fc(x)
        return nn.functional.cross_entropy(scores, labels), scores


def test_what_a_trace_cannot_carry_goes_by_export() -> None:
    torch.manual_seed(0)
    model, inputs = WithLoss().eval(), (torch.randn(4, 16), torch.tensor([0, 1, 2, 3]))
    loss, scores = peek(model, inputs)
    on_openvino(model, inputs, precision="f32")
    engine = counted(model)
    with torch.no_grad():
        found = model(*inputs)
    assert engine.answers == 1
    assert torch.allclose(found[0], loss, atol=1e-4)
    assert torch.allclose(found[1], scores, atol=1e-4)


PROGRAMS = {
    "a crash": ("import os, sys\nsys.stdin.readline()\nos.abort()\n", "crashes on this model (SIGABRT)"),
    "an exit": ("import sys\nsys.stdin.readline()\nsys.exit(3)\n", "crashes on this model (exit status 3)"),
    "an error": (
        'import sys\nsys.stdin.readline()\nprint(\'{"error": "RuntimeError: no such op"}\', flush=True)\n',
        "cannot run this model: RuntimeError: no such op",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_crash_of_the_engine_is_another_process_s(name: str, monkeypatch: Any, tmp_path: Path) -> None:
    # GIVEN an OpenVINO that brings its process down
    program, words = PROGRAMS[name]
    (tmp_path / "program.py").write_text(program)
    trials = trial._Trials()
    monkeypatch.setattr(trial, "_trials", trials)
    with monkeypatch.context() as patch:
        patch.setattr(trial, "_PROGRAM", tmp_path / "program.py")
        # WHEN a model is measured
        model, x = mlp(), torch.randn(4, 16)
        session = jo.optimize(model, x)
        # THEN the technique says so, and this process lives
        assert not session.assessments["openvino"].applies
        assert words in session.assessments["openvino"].reason
        assert not session.assessments["openvino-int8"].applies
    trials.end()
    # AND the next model is tried in a new one
    assert jo.optimize(mlp(), x).assessments["openvino"].applies
    trials.end()


def test_cancel_ends_a_trial_that_takes_its_time(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys\nsys.stdin.readline()\nsys.stdin.readline()\n")
    trials = trial._Trials()
    monkeypatch.setattr(trial, "_PROGRAM", tmp_path / "program.py")
    progress = Progress()
    progress.cancel()
    with pytest.raises(jo.Cancelled):
        trials.ask({}, progress)
    assert trials._process is None


def test_no_word_of_its_use_is_sent() -> None:
    script = (
        "import sys\n"
        "from jupyter_optim.techniques.engines.openvino_engine import openvino\n"
        "openvino()\n"
        "import nncf\n"
        "import openvino.tools.ovc.telemetry_utils as ovc, nncf.telemetry.wrapper as wrapper\n"
        "print(ovc.tm.__name__, type(wrapper.telemetry).__name__, sys.modules['openvino_telemetry'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "MagicMock", "None"]


REFUSALS: list[tuple[str, Any, Any, str]] = [
    ("train mode", lambda: mlp().train(), torch.randn(4, 16), "train mode"),
    ("16 bits", lambda: mlp().bfloat16(), torch.randn(4, 16).bfloat16(), "not all float32"),
    ("a hook within", lambda: hooked(mlp()), torch.randn(4, 16), "`2` has a hook"),
    ("no tensor", lambda: named("no-tensor-input").build()[0], None, "no tensor"),
    ("a distribution", lambda: named("distribution-output").build()[0], None, "returns a"),
]


def hooked(model: nn.Module) -> nn.Module:
    model[2].register_forward_hook(lambda module, args, output: output + 1)
    return model


@pytest.mark.parametrize(("name", "build", "x", "why"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_where_it_does_not_apply_it_says_why(name: str, build: Any, x: Any, why: str) -> None:
    model = build()
    if x is None:
        x = named({"no tensor": "no-tensor-input", "a distribution": "distribution-output"}[name]).build()[1]
    assessment = jo.optimize(model, x).assessments["openvino"]
    assert not assessment.applies
    assert why in assessment.reason


def test_where_it_is_not_installed_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    assessment = jo.optimize(mlp(), torch.randn(4, 16)).assessments["openvino-int8"]
    assert not assessment.applies
    assert "openvino and nncf are not installed: pip install 'jupyter-optim[engines]'" in assessment.reason


# Memory of the answers


@pytest.mark.parametrize(
    "keep", [lambda y: y, lambda y: y.view(-1)[3:], lambda y: y.detach().numpy(), lambda y: y.detach().t()]
)
@pytest.mark.parametrize("small", SMALL)
def test_answers_that_are_still_held_are_never_written_to(
    keep: Any, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_request, "_SMALL", small)
    # GIVEN answers to many inputs, of which a part or another form is kept, or the whole
    model, batches = mlp(), [torch.randn(4, 16) for _ in range(12)]
    expected = [keep(peek(model, x).clone()) for x in batches]
    on_openvino(model, batches[0], precision="f32")
    # WHEN they were all asked for
    with torch.no_grad():
        found = [keep(model(x)) for x in batches]
    # THEN each is its own
    assert all(
        torch.allclose(torch.as_tensor(a), torch.as_tensor(b), atol=1e-5)
        for a, b in zip(found, expected, strict=True)
    )


def test_memory_of_answers_that_nobody_holds_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_request, "_SMALL", -1)
    model, x = mlp(), torch.randn(4, 16)
    on_openvino(model, x, precision="f32")
    with torch.no_grad():
        places = {model(x).data_ptr() for _ in range(20)}
        y = model(x)
        for _ in range(20):
            y = model(x)
            places.add(y.data_ptr())
    assert len(places) <= 3


@pytest.mark.parametrize("small", SMALL)
def test_inputs_of_any_form_are_read(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_request, "_SMALL", small)

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
            return self.fc(x) * by

    model, x = Shifted().eval(), torch.randn(4, 8)
    # a part of a larger tensor, and a single number
    inputs = (x[:, ::2], torch.tensor(3.0))
    on_openvino(model, inputs, precision="f32")
    engine = counted(model)
    for scale in (2.0, 5.0):
        given = (torch.randn(4, 8)[:, 1::2], torch.tensor(scale))
        expected = (given[0] @ model.fc.weight.T + model.fc.bias) * scale
        assert torch.allclose(peek(model, given), expected, atol=1e-4)
    assert engine.answers == 2


def test_ctrl_c_within_a_call_leaves_the_engine_free_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a call that is interrupted while OpenVINO works on it: Python raises that when OpenVINO is done
    torch.manual_seed(0)
    model, x = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(4))).eval(), torch.randn(64, 1024)
    expected = peek(model, x).detach()
    on_openvino(model, x, precision="f32")
    stand_in = stand_in_of(model)
    assert stand_in is not None
    request = stand_in.engine._usual

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def infer(self, **options: Any) -> None:
            real.infer(**options)
            raise KeyboardInterrupt

    real = request._request
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(request, "_request", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            model(x)
    # THEN it is at rest, and the next call is answered
    with torch.no_grad():
        assert torch.allclose(model(x), expected, atol=1e-4)


@pytest.mark.parametrize(("vnni", "widest"), [(True, 127), (False, 64)])
def test_weights_are_narrow_where_int8_products_would_overflow(
    monkeypatch: pytest.MonkeyPatch, vnni: bool, widest: int
) -> None:
    monkeypatch.setattr(nncf_quantizer, "has_vnni", lambda: vnni)
    model, x = mlp(), torch.randn(4, 16)
    graph = converted(FlatCall(model, (x,), {}), [x])
    found = nncf_quantizer.quantized(graph, [[x]], Progress(), transformer=False)
    weights = [
        node.data for node in found.get_ops() if node.get_type_name() == "Constant" and node.data.dtype == "int8"
    ]  # fmt: skip
    assert max(abs(each.astype(int)).max() for each in weights) == widest


def test_on_a_cpu_without_bfloat16_it_is_never_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(technique_module, "precisions", lambda: ("f32",))
    for asked in ("auto", "bf16"):
        step = on_openvino(mlp(), torch.randn(4, 16), precision=asked).history[-1]
        assert "(OpenVINO, f32; built in " in step.reason
