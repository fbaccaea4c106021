"""The accelerator's side of a report, on made-up traces whose figures can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import jupyter_optim as jo
from jupyter_optim.profiling.gpu.tensor_cores import uses_tensor_cores
from jupyter_optim.profiling.lines.times import line_times
from jupyter_optim.profiling.trace.reader import read
from jupyter_optim.report import GpuTime, Report
from tests.profiling.made_up_gpu import MadeUpGpu


def opened(made: MadeUpGpu, folder: Path) -> tuple[Report, GpuTime]:
    report = jo.open_trace(made.save(folder / "gpu.json"))
    assert report.gpu is not None
    assert jo.Report.from_json(report.to_json()).to_json() == report.to_json()
    return report, report.gpu


def idle_us(gpu: GpuTime) -> dict[str, float]:
    return {each.reason: round(each.ms * 1e3, 3) for each in gpu.idle}


def three_small_kernels(**options: bool) -> MadeUpGpu:
    """Each op takes 8 us on the host, and its kernel 2 us."""
    made = MadeUpGpu(**options)
    for name in ("aten::add", "aten::mul", "aten::relu"):
        with made.op(name):
            made.launch(f"{name[6:]}_kernel", 2.0)
    made.wait()
    return made


@pytest.mark.parametrize("old", [False, True], ids=["new names", "names before 1.12"])
def test_a_host_that_launches_slowly(tmp_path: Path, old: bool) -> None:
    report, gpu = opened(three_small_kernels(old=old), tmp_path)
    # the host's 24 us of ops and 4 us of waiting, of which 6 us are kernels
    assert report.trace.call_ms == pytest.approx(0.028)
    assert gpu.busy_ms == pytest.approx(0.006)
    assert gpu.idle_ms == pytest.approx(0.022)
    assert idle_us(gpu) == {"launch": 12.0, "before the first": 9.0, "after the last": 1.0}
    assert sum(each.share for each in gpu.idle) + gpu.busy_share == pytest.approx(1.0)
    assert {kernel.op: kernel.ms for kernel in gpu.kernels} == pytest.approx(
        {"aten::add": 0.002, "aten::mul": 0.002, "aten::relu": 0.002}
    )
    assert report.environment.gpus[0].name == "Made-up GPU"
    ops = {op.name: op for op in report.ops}
    assert ops["aten::mul"].self_ms == pytest.approx(0.002)
    assert ops["aten::mul"].host_ms == pytest.approx(0.008)
    assert ops["aten::mul"].kernels == 1
    assert "launch-bound" in {finding.kind for finding in report.findings}


def test_without_the_hosts_launches_the_reason_is_not_known(tmp_path: Path) -> None:
    _, gpu = opened(three_small_kernels(runtime=False), tmp_path)
    assert idle_us(gpu)["unknown"] == 21.0
    assert "launch" not in idle_us(gpu)
    assert {kernel.op for kernel in gpu.kernels} == {"aten::add", "aten::mul", "aten::relu"}


def test_a_host_that_waits_for_a_result(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("ampere_sgemm_128x64_nn", 100.0)
    with made.op("aten::item"):
        made.launch("Memcpy DtoH (Device -> Pageable)", 2.0, copied=4)
        made.wait()
    with made.op("aten::relu"):
        made.launch("relu_kernel", 10.0)
    made.wait("cudaDeviceSynchronize")
    report, gpu = opened(made, tmp_path)
    waited = next(each for each in gpu.idle if each.reason == "synchronisation")
    assert (waited.ms, waited.gaps, waited.op) == (pytest.approx(0.011), 1, "aten::relu")
    (copy,) = gpu.copies
    assert (copy.kind, copy.bytes, copy.pageable, copy.calls) == ("device to host", 4, True, 1)
    assert [kernel.name for kernel in gpu.kernels] == ["ampere_sgemm_128x64_nn", "relu_kernel"]
    assert gpu.tensor_core_share == 0.0
    assert gpu.launches == 2
    kinds = {finding.kind for finding in report.findings}
    assert {"no-tensor-cores"} <= kinds


def test_a_host_that_fetches_a_batch(tmp_path: Path) -> None:
    made = MadeUpGpu()
    for _ in range(2):
        with made.range("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"):
            made.work(500.0)
        with made.op("aten::mm"):
            made.launch("ampere_bf16_s16816gemm_bf16_128x64", 100.0)
    made.wait()
    report, gpu = opened(made, tmp_path)
    assert idle_us(gpu)["data loading"] > 900
    assert gpu.tensor_core_share == 1.0
    finding = next(finding for finding in report.findings if finding.kind == "gpu-data")
    assert finding.severity == "high"


def test_kernels_that_were_launched_in_time(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("sgemm", 50.0)
    with made.op("aten::mm"):
        made.launch("sgemm", 50.0)
    # the driver takes a moment between two kernels that wait for each other
    made.events[-2]["ts"] += 1.5
    made.wait()
    _, gpu = opened(made, tmp_path)
    assert idle_us(gpu)["between kernels"] == 1.5


def test_streams_that_run_beside_each_other(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("sgemm", 100.0, stream=7, blocks=0.5, occupancy=25)
        made.launch("sgemm", 60.0, stream=13, blocks=4.0, occupancy=100)
    made.wait()
    _, gpu = opened(made, tmp_path)
    # the second began 4 us after the first
    assert gpu.busy_ms == pytest.approx(0.100)
    assert gpu.overlap_ms == pytest.approx(0.060)
    assert {each.stream: round(each.ms * 1e3, 3) for each in gpu.streams} == {7: 100.0, 13: 60.0}
    (kernel,) = gpu.kernels
    assert (kernel.calls, kernel.streams, kernel.registers) == (2, (7, 13), 64)
    assert kernel.occupancy == pytest.approx((0.25 * 100 + 1.0 * 60) / 160)
    assert gpu.sm_share == pytest.approx((0.5 * 100 + 1.0 * 60) / 160)
    assert kernel.blocks_per_sm == pytest.approx((0.5 * 100 + 4.0 * 60) / 160)


def test_kernels_that_run_at_once_share_the_time(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("sgemm", 100.0, stream=7)
    with made.op("aten::bmm"):
        made.launch("batched_sgemm", 60.0, stream=13)
    with made.op("aten::relu"):
        made.launch("relu_kernel", 30.0, stream=13)
    made.wait()
    report, gpu = opened(made, tmp_path)
    # mm begins at 9 us; bmm at 16 us, relu at 76 us, beside it until 109 us: each takes half of those 90 us
    assert gpu.busy_ms == pytest.approx(0.100)
    assert {kernel.op: kernel.ms for kernel in gpu.kernels} == pytest.approx(
        {"aten::mm": 0.100, "aten::bmm": 0.060, "aten::relu": 0.030}
    )
    ops = {op.name: op.self_ms for op in report.ops}
    assert ops == pytest.approx({"aten::mm": 0.055, "aten::bmm": 0.030, "aten::relu": 0.015})
    assert sum(op.share for op in report.ops) == pytest.approx(gpu.busy_share)


def test_occupancy_that_the_trace_does_not_give(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("sgemm", 100.0, blocks=None, occupancy=None)
    made.wait()
    report, gpu = opened(made, tmp_path)
    assert (gpu.occupancy, gpu.sm_share) == (None, None)
    assert (gpu.kernels[0].occupancy, gpu.kernels[0].blocks_per_sm) == (None, None)
    assert "nan" not in report.to_json().lower()
    assert "occupancy" not in str(report)


def test_the_device_that_worked_most_is_told_of(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.op("aten::mm"):
        made.launch("small", 10.0, device=0)
        made.launch("large", 90.0, device=1)
    made.wait()
    _, gpu = opened(made, tmp_path)
    assert [kernel.name for kernel in gpu.kernels] == ["large"]
    assert gpu.reason is not None
    assert "device 0 worked less" in gpu.reason


def test_kernels_of_compiled_code_belong_to_no_op(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.range("## Call CompiledFxGraph abc ##"):
        made.launch("triton_poi_fused_add_relu_0", 20.0)
    made.wait()
    _, gpu = opened(made, tmp_path)
    assert [(kernel.name, kernel.op) for kernel in gpu.kernels] == [("triton_poi_fused_add_relu_0", None)]


def test_steps_are_told_by_the_step(tmp_path: Path) -> None:
    made = MadeUpGpu()
    for step in range(4):
        with made.range(f"ProfilerStep#{step}"):
            with made.op("aten::mm"):
                made.launch("sgemm", 50.0)
            made.wait()
    report, gpu = opened(made, tmp_path)
    assert report.trace.calls == 4
    assert gpu.busy_ms == pytest.approx(0.050)
    assert gpu.launches == 1
    assert gpu.kernels[0].calls == 1


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("ampere_sgemm_128x64_nn", False),
        ("volta_fp16_s884gemm_fp16_128x64_ldg8_f2f_nn", True),
        ("ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn", True),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_cublas_hgmma", True),
        ("void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x64_16x6_nt_align4>(...)", True),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_256x128_8x4_nn_align1>(...)", False),
        # as an H200 names them
        ("sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw_g1_tensor16x8x8_execute", True),
        ("sm90_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc_warpgroupsize1x1x1_g1_execute", True),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_warpgroupsize1x1x1_g1_execute", True),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize128x128x8_ffma_aligna4_alignc4_execute", False),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float, float, float, float, false, float>(...)", None),
        ("nvjet_tst_192x192_64x4_1x2_h_bz_coopB_TNT", True),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4>>(...)", True),
        ("void gemv2T_kernel_val<int, int, float, float, float, float, 128, 16, 4, 4, false>(...)", False),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::AddFunctor<float>>(int, ...)", None),
        ("void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>(...)", None),
        ("void (anonymous namespace)::softmax_warp_forward<float, float, float, 7, false, false>(...)", None),
    ],
)  # fmt: skip
def test_tensor_cores_by_the_names_of_kernels(kernel: str, expected: bool | None) -> None:
    assert uses_tensor_cores(kernel) is expected


def test_html_and_text_tell_what_kept_it(tmp_path: Path) -> None:
    report, _ = opened(three_small_kernels(), tmp_path)
    page = report.save(tmp_path / "gpu.html").read_text()
    for words in ("What the GPU did in a call", "the host was still launching", "add_kernel", "aten::add"):
        assert words in page
        assert words in str(report) or words == "add_kernel"
    assert "None" not in str(report)


def test_a_kernels_time_belongs_to_the_line_that_launched_it(tmp_path: Path) -> None:
    made = MadeUpGpu()
    lines = [("cell", number) for number in (2, 3, 4)]
    with made.range("jo:line:0"), made.op("aten::mm"):
        made.launch("sgemm", 300.0)
    with made.range("jo:line:1"), made.op("aten::relu"):
        made.launch("relu_kernel", 100.0)
    with made.range("jo:line:2"), made.op("aten::item"):
        made.launch("Memcpy DtoH (Device -> Pageable)", 2.0)
        made.wait()
    found = line_times(read(made.save(tmp_path / "lines.json")), lines)
    assert found.on_device == {("cell", 2): 300e3, ("cell", 3): 100e3, ("cell", 4): 2e3}
    whole = sum(found.own.values())
    # the host waited in line 4, nearly all the time for what lines 2 and 3 had launched
    spent_us = {place[1]: round(spent / 1e3, 1) for place, spent in found.inclusive.items()}
    assert spent_us == {2: 9.5 + 283, 3: 9.5 + 100, 4: 395.5 - 283 - 100}
    # nothing is lost: the three ranges follow each other on the host
    ranges = [event["dur"] for event in made.events if event["name"].startswith("jo:")]
    assert whole == pytest.approx(sum(ranges) * 1e3)


def test_waiting_in_no_line_is_the_time_of_the_line_that_launched(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.range("jo:line:0"), made.op("aten::mm"):
        made.launch("sgemm", 300.0)
    made.wait("cudaDeviceSynchronize")
    found = line_times(read(made.save(tmp_path / "lines.json")), [("cell", 2)])
    # the host waited from 109.5 to 410.5, the kernel ran until 409.5
    assert found.own["cell", 2] == pytest.approx((9.5 + 300.0) * 1e3)


def test_streams_share_the_time_that_the_host_waits(tmp_path: Path) -> None:
    made = MadeUpGpu()
    with made.range("jo:line:0"), made.op("aten::mm"):
        made.launch("sgemm", 200.0, stream=7)
    with made.range("jo:line:1"), made.op("aten::mm"):
        made.launch("sgemm", 200.0, stream=13)
    with made.range("jo:line:2"):
        made.wait()
    found = line_times(read(made.save(tmp_path / "lines.json")), [("cell", number) for number in range(3)])
    spent = {place[1]: own for place, own in found.own.items()}
    assert spent[0] == pytest.approx(spent[1], rel=0.1)
    assert spent[2] < 0.05 * spent[0]


def test_backward_kernels_belong_to_the_line_and_the_module_of_the_forward(tmp_path: Path) -> None:
    made = MadeUpGpu()
    forward = made.op("aten::addmm", **{"Sequence number": 5, "Fwd thread id": 0})
    with made.range("jo:line:0"), made.op("nn.Module: Linear_0", "python_function"), forward:
        made.launch("sgemm", 100.0)
    with made.range("jo:line:1"):
        name = "autograd::engine::evaluate_function: AddmmBackward0"
        node = made.op(name, thread=99, **{"Sequence number": 5, "Fwd thread id": 1})
        with node, made.op("aten::mm", thread=99):
            made.launch("sgemm", 200.0, thread=99)
        made.wait()
    path = made.save(tmp_path / "training.json")
    found = line_times(read(path), [("cell", 2), ("cell", 3)])
    assert found.on_device == {("cell", 2): 300e3}
    assert found.own["cell", 3] < 0.1 * found.own["cell", 2]
    _, gpu = opened(made, tmp_path)
    assert {(kernel.op, kernel.module) for kernel in gpu.kernels} == {
        ("aten::addmm", "Linear_0"), ("aten::mm", "Linear_0"),
    }  # fmt: skip
