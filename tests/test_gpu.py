"""On a real GPU: device time, memory, and changes in place. Skipped where there is none."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

import jupyter_optim as jo
from jupyter_optim.hardware.peaks import peaks
from jupyter_optim.hardware.sampler import Sampler
from jupyter_optim.session import watch
from jupyter_optim.techniques.engines.stand_in import stand_in_of
from tests.profiling.recorded.record import Compiled, Convolutions, Streams, Waits
from tests.zoo import fingerprint, named, outputs_equal, peek
from tests.zoo.calls import call
from tests.zoo.timings import short_timings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def model() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).cuda()


def test_the_report_has_device_time_and_memory() -> None:
    live, x = model().train(), torch.randn(16, 128, 512, device="cuda")
    report = jo.optimize(live, x).report
    assert report.workload.device == "cuda:0"
    assert report.environment.gpus
    assert report.environment.gpus[0].name
    assert {op.device for op in report.ops} == {"cuda"}
    spent = sum(op.self_ms for op in report.ops)
    assert 0.3 * report.trace.call_ms < spent < 1.5 * report.trace.call_ms
    rows = {row.path: row for row in report.modules}
    assert rows[""].total_ms == pytest.approx(spent, rel=0.01)
    assert rows["layers.0.linear1"].total_ms > rows["layers.0.norm1"].total_ms
    assert report.memory.activations_bytes > x.numel() * 4
    assert report.memory.status == "measured"


def test_bf16_is_faster_and_reverts_to_the_bit() -> None:
    live, x = model().eval(), torch.randn(64, 512, 512, device="cuda")
    with torch.inference_mode():
        answers = live(x)
        session = jo.optimize(live, x)
        step = session.apply("bf16")
        assert step.verdict == "faster", step.reason
        assert live(x).dtype is torch.float32
        session.undo()
        assert torch.equal(live(x), answers)


def test_what_runs_on_the_cpu_only_says_so() -> None:
    session = jo.optimize(model().eval(), torch.randn(2, 16, 512, device="cuda"))
    assert "CPU only" in session.assessments["int8-dynamic"].reason


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9), reason="no fp8 arithmetic"
)
@pytest.mark.parametrize("granularity", ["tensor", "row"])
def test_fp8_is_applied_and_undone(granularity: str) -> None:
    torch.manual_seed(0)
    live = nn.Sequential(nn.Linear(1024, 4096), nn.GELU(), nn.Linear(4096, 1024)).eval().cuda().bfloat16()
    x = torch.randn(256, 1024, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        before = live(x)
        session = jo.optimize(live, x)
        step = session.apply("fp8", keep="always", granularity=granularity)
        assert step.accepted, step.reason
        assert step.quality.after > 0.99
        assert step.size_ratio < 0.6
        assert live(x).dtype is torch.bfloat16
        session.undo()
        assert torch.equal(live(x), before)


@pytest.mark.parametrize("name", ["int8-weight-only", "int4-weight-only"])
def test_weights_packed_on_the_gpu_answer_alike(name: str) -> None:
    torch.manual_seed(0)
    live = nn.Sequential(nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 64)).eval().cuda()
    x = torch.randn(32, 512, device="cuda")
    with torch.no_grad():
        step = jo.optimize(live, x).apply(name, keep="always")
        assert step.accepted, step.reason
        assert step.quality.after > 0.98
        assert live(x).device.type == "cuda"


@pytest.mark.skipif(find_spec("torch_tensorrt") is None, reason="the extra `tensorrt` is not installed")
@pytest.mark.parametrize(("precision", "drop"), [("float32", 1e-5), ("float16", 1e-4), ("bfloat16", 1e-3)])
def test_a_model_on_tensorrt_answers_alike_and_reverts_to_the_bit(precision: str, drop: float) -> None:
    live, x = model().eval(), torch.randn(8, 64, 512, device="cuda")
    weights = fingerprint(live)
    with torch.no_grad():
        before = live(x)
        session = jo.optimize(live, x)
        step = session.apply("tensorrt", keep="always", precision=precision)
        assert step.accepted, step.reason
        assert f"(TensorRT, {precision}; built in " in step.reason
        assert step.quality.after > 1 - drop
        stand_in = stand_in_of(live)
        assert stand_in is not None
        assert stand_in.held_bytes > 0
        # other batch sizes are TensorRT's, after one look
        for size in (5, 32):
            other = torch.randn(size, 64, 512, device="cuda")
            own = type(live).forward(live, other).flatten()
            assert torch.equal(live(other).flatten(), own)
            assert torch.nn.functional.cosine_similarity(live(other).flatten(), own, 0) > 1 - drop
        assert all(stand_in._agreed.values())
        # and those that it was not built for PyTorch's
        with pytest.warns(UserWarning, match="TensorRT is not used"):
            live(torch.randn(33, 64, 512, device="cuda"))
        session.undo()
        assert torch.equal(live(x), before)
    assert fingerprint(live) == weights


def test_on_a_gpu_the_engines_of_the_cpu_name_the_one_for_it_and_that_one_what_it_needs() -> None:
    assessments = jo.optimize(model().eval(), torch.randn(2, 16, 512, device="cuda")).assessments
    for name in ("openvino", "openvino-int8", "onnxruntime", "onnxruntime-int8"):
        assert assessments[name].reason.endswith("the model is on a GPU: take `tensorrt`")
    if find_spec("torch_tensorrt") is None:
        assert "pip install 'jupyter-optim[tensorrt]'" in assessments["tensorrt"].reason


def test_tf32_is_a_peak_of_its_own_and_the_setting_stays() -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    found = peaks("cuda", dtypes=["float32"], recalibrate=True)
    assert torch.backends.cuda.matmul.fp32_precision == before
    if torch.cuda.get_device_capability() >= (8, 0):
        assert found.flops["bfloat16"] > found.flops["tf32"] > found.flops["float32"]


def test_convolutions_in_tf32_are_measured_against_tf32() -> None:
    with torch.no_grad():
        report = jo.optimize(Convolutions().cuda().eval(), torch.randn(16, 3, 128, 128, device="cuda")).report
    assert report.gpu is not None
    multiplying = [each for each in report.gpu.kernels if each.tensor_cores is not None]
    assert {each.op for each in multiplying} == {"aten::cudnn_convolution", "aten::addmm"}
    on_cores = sum(each.ms for each in multiplying if each.tensor_cores)
    assert report.gpu.tensor_core_share == pytest.approx(
        on_cores / sum(each.ms for each in multiplying), abs=0.01
    )
    convolution = next(op for op in report.ops if op.name == "aten::cudnn_convolution")
    assert convolution.of_peak is not None
    assert convolution.of_peak < 1.0


def test_two_streams_share_the_time() -> None:
    with torch.no_grad():
        report = jo.optimize(Streams().cuda().eval(), torch.randn(2048, 2048, device="cuda")).report
    assert report.gpu is not None
    assert len(report.gpu.streams) >= 2
    assert report.gpu.overlap_ms > 0
    assert sum(op.self_ms for op in report.ops) == pytest.approx(report.gpu.busy_ms, rel=0.02)


def test_waits_for_numbers_are_seen_with_their_line() -> None:
    with torch.no_grad():
        report = jo.optimize(Waits().cuda().eval(), torch.randn(256, 512)).report
    assert report.gpu is not None
    reasons = {each.reason: each for each in report.gpu.idle}
    assert reasons["synchronisation"].gaps >= 3
    assert {"host to device", "device to host"} <= {each.kind for each in report.gpu.copies}
    assert "recorded/record.py" in (reasons["synchronisation"].line or "")


def test_lines_that_run_have_their_kernels_time(tmp_path: Path) -> None:
    source = "hidden = first(x)\nfor _ in range(4):\n    hidden = wide(hidden)\ntotal = hidden.sum().item()\n"
    (tmp_path / "steps.py").write_text(source)
    torch.manual_seed(0)
    live = nn.ModuleDict({"first": nn.Linear(512, 4096), "wide": nn.Linear(4096, 4096)}).eval().cuda()
    names: dict[str, Any] = {**live, "x": torch.randn(1024, 512, device="cuda")}
    with watch(cell=source) as seen, torch.no_grad():
        exec(compile(source, str(tmp_path / "steps.py"), "exec"), names)
    report = seen.session(live["wide"]).report
    on_gpu = {line.lineno: line.gpu_ms for line in report.lines if line.gpu_ms is not None}
    assert max(on_gpu, key=lambda each: on_gpu[each]) == 3
    assert on_gpu[3] > 4 * on_gpu[1] > 0


@pytest.mark.parametrize("name", ["compiled", "bert"])
def test_measuring_does_not_compile_a_compiled_model_again(name: str) -> None:
    if name == "bert":
        live, x = named("bert").build()
        live, x = live.cuda(), tree_map(torch.Tensor.cuda, x)
    else:
        live, x = Compiled().cuda().eval(), torch.randn(256, 1024, device="cuda")
    with torch.no_grad():
        session = jo.optimize(live, x)
        step = session.apply("compile", keep="always", mode="reduce-overhead")
        assert step.accepted, step.reason
        call(live, x)
        with torch.compiler.set_stance("fail_on_recompile"):
            session.profile()
            call(live, x)


def test_outputs_of_a_recorded_graph_are_the_callers() -> None:
    # GIVEN a model of small kernels, for which the GPU waits
    layers = [each for _ in range(12) for each in (nn.Linear(64, 64), nn.ReLU())]
    live = nn.Sequential(*layers).eval().cuda()
    x, other = torch.randn(2, 8, 64, device="cuda")
    with torch.no_grad():
        expected, expected_other = live(x), live(other)
        session = jo.optimize(live, x)
        assert "CUDA graph" in session.assessments["compile"].reason
        step = session.apply("compile", keep="always")
        assert step.accepted, step.reason
        assert "reduce-overhead" in session.code()
        # WHEN it is called again, THEN the first answer stays what it was
        first = live(x)
        second = live(other)
        torch.testing.assert_close(first, expected)
        torch.testing.assert_close(second, expected_other)
        session.undo()
        assert torch.equal(live(x), expected)


def test_the_driver_tells_what_a_busy_gpu_does() -> None:
    a = torch.randn(4096, 4096, device="cuda")
    with Sampler(gpus=[0]) as sampler:
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        for _ in range(600):
            a @ a
        ended.record()
        ended.synchronize()
    assert began.elapsed_time(ended) > 500
    assert sampler.samples is not None
    (gpu,) = sampler.samples.gpus
    for series in (gpu.utilisation, gpu.power, gpu.sm_clock, gpu.temperature, gpu.memory_used):
        assert series.mean is not None, series.reason
        assert series.mean > 0
    assert gpu.utilisation.high is not None
    assert gpu.utilisation.high > 50


ON_GPU = (
    "mlp", "resnet18", "lstm", "gru-bidirectional", "transformer-encoder", "tied-autoencoder", "bert", "recommender",
)  # fmt: skip


@pytest.mark.parametrize("name", ON_GPU)
def test_techniques_work_or_refuse_in_words_and_undo_to_the_bit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    live, inputs = named(name).build()
    live = live.cuda()
    inputs = tree_map(lambda each: each.cuda() if isinstance(each, torch.Tensor) else each, inputs)
    answers, before = peek(live, inputs), fingerprint(live)
    with warnings.catch_warnings(), short_timings():
        warnings.simplefilter("error")
        session = jo.optimize(live, inputs)
        for technique, assessment in session.assessments.items():
            assert assessment.reason
            if not assessment.applies or technique == "compile":
                continue
            step = session.apply(technique, keep="always")
            assert step.reason
            assert step.accepted == (step.verdict != "failed")
            if step.accepted:
                session.undo()
            assert fingerprint(live) == before
        assert outputs_equal(peek(live, inputs), answers)
