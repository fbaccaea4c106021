"""On a real GPU: device time, memory, and changes in place. Skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import jupyter_optim as jo

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
