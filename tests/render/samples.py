"""Reports to draw: realistic, tiny, empty of figures, hostile, huge, and with a long history."""

from __future__ import annotations

import msgspec

from jupyter_optim.report import (
    Energy,
    Environment,
    Finding,
    Flops,
    Gpu,
    Hardware,
    Holder,
    HolderKind,
    InputSpec,
    Interval,
    Latency,
    Line,
    Memory,
    ModuleRow,
    Op,
    Phase,
    PhasePart,
    Quality,
    Recommendation,
    Report,
    Signature,
    StepRecord,
    Trace,
    Training,
    WorkloadInfo,
)

CELL = """%%optimize --evaluate recall
batch = tokenizer(queries, padding=True, return_tensors="pt")

def pooled(hidden, mask):
    mask = mask.unsqueeze(-1)

    return (hidden * mask).sum(1) / mask.sum(1)

with torch.inference_mode():
    hidden = model(**batch).last_hidden_state
embeddings = pooled(hidden, batch["attention_mask"])
embeddings.shape"""

ENVIRONMENT = Environment(
    cpu_model="Intel(R) Xeon(R) Platinum 8488C", physical_cores=1, logical_cores=2, threads=2, interop_threads=1,
    isa=("avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8"), memory_bytes=16_400_000_000, gpus=(),
    gpu_reason="no NVIDIA driver is installed", os="Linux 6.1", python="3.11.7", torch="2.13.0",
    libraries={"torchao": "0.18.0", "transformers": "5.23.0"},
)  # fmt: skip


def latency(median: float | None = 111.3, **changes: object) -> Latency:
    """A latency with an interval of 2% around `median`."""
    values: dict[str, object] = {
        "median_ms": median, "repeats": 45, "warmup_calls": 3, "status": "measured", "reason": None,
        "method": "median of single calls, no profiler", "low_ms": None, "high_ms": None, "p95_ms": None,
        "throughput_per_s": None, "samples_per_s": None,
    }  # fmt: skip
    if median is not None:
        values |= {"low_ms": median * 0.982, "high_ms": median * 1.021, "p95_ms": median * 1.06,
                   "throughput_per_s": 1e3 / median, "samples_per_s": 8e3 / median}  # fmt: skip
    values |= changes
    return msgspec.convert(values, Latency)


def _bert_modules() -> list[tuple[str, str, float, int]]:
    """Path, class, own time in ms and own parameters of a 6-layer MiniLM."""
    rows = [
        ("", "BertModel", 0.4, 0), ("embeddings", "BertEmbeddings", 0.5, 0),
        ("embeddings.word_embeddings", "Embedding", 0.31, 11_720_448),
        ("embeddings.token_type_embeddings", "Embedding", 0.11, 768),
        ("embeddings.position_embeddings", "Embedding", 0.05, 196_608),
        ("embeddings.LayerNorm", "LayerNorm", 0.3, 768), ("embeddings.dropout", "Dropout", 0.01, 0),
        ("encoder", "BertEncoder", 0.2, 0),
    ]  # fmt: skip
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        rows += [
            (at, "BertLayer", 0.02, 0), (f"{at}.attention", "BertAttention", 0.01, 0),
            (f"{at}.attention.self", "BertSdpaSelfAttention", 1.52 + 0.03 * layer, 0),
            (f"{at}.attention.self.query", "Linear", 1.21, 147_840), (f"{at}.attention.self.key", "Linear", 1.19, 147_840),
            (f"{at}.attention.self.value", "Linear", 1.2, 147_840), (f"{at}.attention.output", "BertSelfOutput", 0.05, 0),
            (f"{at}.attention.output.dense", "Linear", 1.18, 147_840),
            (f"{at}.attention.output.LayerNorm", "LayerNorm", 0.21, 768),
            (f"{at}.attention.output.dropout", "Dropout", 0.01, 0),
            (f"{at}.intermediate", "BertIntermediate", 0.01, 0),
            (f"{at}.intermediate.dense", "Linear", 5.4 + 0.05 * layer, 591_360),
            (f"{at}.intermediate.intermediate_act_fn", "GELUActivation", 0.82, 0),
            (f"{at}.output", "BertOutput", 0.06, 0), (f"{at}.output.dense", "Linear", 5.1, 590_208),
            (f"{at}.output.LayerNorm", "LayerNorm", 0.2, 768), (f"{at}.output.dropout", "Dropout", 0.01, 0),
        ]  # fmt: skip
    return rows


_OPS = {
    "Linear": (("aten::addmm", 0.97), ("aten::linear", 0.02), ("aten::t", 0.01)),
    "Embedding": (("aten::embedding", 0.1), ("aten::index_select", 0.9)),
    "LayerNorm": (("aten::native_layer_norm", 0.9), ("aten::layer_norm", 0.1)),
    "GELUActivation": (("aten::gelu", 1.0),),
    "Dropout": (("aten::dropout", 1.0),),
    "BertSdpaSelfAttention": (
        ("aten::_scaled_dot_product_flash_attention_for_cpu", 0.8), ("aten::transpose", 0.05), ("aten::view", 0.15),
    ),
    "BertEmbeddings": (("aten::add_", 1.0),),
}  # fmt: skip


def bert(median: float = 111.3, linear: float = 1.0, linear_class: str = "Linear") -> Report:
    """MiniLM, 8 x 128 tokens; its linear layers take `linear` times what they take at first."""
    found = [
        (
            path,
            linear_class if kind == "Linear" else kind,
            own * (linear if kind == "Linear" else 1.0),
            params,
        )
        for path, kind, own, params in _bert_modules()
    ]
    in_ops = sum(own for _, _, own, _ in found)
    call_ms = in_ops * 1.04
    names = {**_OPS, linear_class: _OPS["Linear"]}
    ops = tuple(
        Op(name=name, calls=1.0, self_ms=own * part, total_ms=own, share=own * part / call_ms,
           flops=int(own * 1e8) if name == "aten::addmm" else None, bytes=None, bound=None, module=path, line=None,
           device="cpu")
        for path, kind, own, _ in found
        for name, part in names.get(kind, (("aten::add", 1.0),))
    )  # fmt: skip
    modules = tuple(
        ModuleRow(path=path, class_name=kind, calls=1.0, self_ms=own, share=own / call_ms, params=params, flops=None,
                  total_ms=sum(each for name, _, each, _ in found
                               if name == path or not path or name.startswith(path + ".")), bytes=4 * params)
        for path, kind, own, params in found
    )  # fmt: skip
    params = sum(row.params for row in modules)
    return Report(
        environment=ENVIRONMENT,
        workload=_bert_workload(),
        latency=latency(median),
        memory=Memory(peak_bytes=142_300_000, weights_bytes=4 * params, activations_bytes=50_100_000,
                      parameters=params, status="measured", method="allocations of one traced call"),
        flops=Flops(total=22_400_000_000, status="estimated", method="formulas of the counted ops"),
        energy=Energy(energy_j=None, status="unavailable", method="", reason="RAPL cannot be read without root"),
        hardware=Hardware(cpu_percent=198.2, rss_bytes=1_210_000_000, method="psutil, during the timing"),
        trace=Trace(events=41_202, calls=9, call_ms=call_ms, unattributed_ms=call_ms - in_ops, source="replay",
                    method="annotated profile"),
        ops=ops,
        modules=modules,
        lines=(
            Line(source="this cell", lineno=10, text="    hidden = model(**batch).last_hidden_state", ms=112.0, share=0.93,
                 bytes=50_100_000),
            Line(source="this cell", lineno=2, text='batch = tokenizer(queries, padding=True, return_tensors="pt")',
                 ms=6.1, share=0.051),
            Line(source="this cell", lineno=11, text='embeddings = pooled(hidden, batch["attention_mask"])', ms=1.4,
                 share=0.0117),
            Line(source="this cell", lineno=7, text="    return (hidden * mask).sum(1) / mask.sum(1)", ms=1.2, share=0.01),
            Line(source="pooling.py", lineno=88, text="    return x.float() @ w", ms=0.2, share=0.002, estimated=True),
        ),
        findings=(
            Finding(kind="hot-layers", title="36 Linear layers take 83% of the time",
                    text="`encoder.layer.0.intermediate.dense` and 35 like it multiply matrices in float32.",
                    share=0.83, severity="high", evidence=("aten::addmm: 36 calls, 92.4 ms",),
                    modules=tuple(path for path, kind, _, _ in found if kind == linear_class)),
            Finding(kind="padding", title="31% of the tokens are padding",
                    text="317 of 1,024 positions are masked out. Sort the texts by length before batching.",
                    share=0.31, severity="medium"),
        ),
        recommendations=RECOMMENDATIONS,
        history=(),
        cell=CELL,
    )  # fmt: skip


def _bert_workload() -> WorkloadInfo:
    def tokens(name: str) -> InputSpec:
        return InputSpec(name=name, kind="tensor", shape=(8, 128), dtype="int64", device="cpu")

    signature = Signature(text="int64[8, 128] x 3", calls=1, total_ms=112.0, measured=True)
    return WorkloadInfo(
        model="BertModel", origin="cell", expression=None, device="cpu", dtype="float32", training=False, grad=False,
        autocast=None, batch_size=8, inputs=tuple(map(tokens, ("input_ids", "token_type_ids", "attention_mask"))),
        signatures=(signature,), calls=1, cell_ms=120.0, model_ms=112.0, replayed=True, reason=None,
    )  # fmt: skip


RECOMMENDATIONS = (
    Recommendation(
        technique="bf16", label="Cast to bfloat16", family="precision", predicted_speedup=2.9, covers_share=0.87,
        predicted_size_ratio=0.5, reason="This CPU multiplies bfloat16 matrices in hardware (AMX).",
        risk="Answers change in the third digit.", method="timed on 4 of the 4 layer shapes",
    ),
    Recommendation(
        technique="int8-dynamic", label="Quantize to int8", family="quantization", predicted_speedup=4.0,
        covers_share=0.83, predicted_size_ratio=0.38,
        reason="36 Linear layers take 83% of the time, and this CPU multiplies int8 4 to 8 times as fast (VNNI).",
        risk="Answers change a little; they are checked.", method="timed on 4 of the 4 layer shapes",
    ),
    Recommendation(
        technique="prune-magnitude", label="Zero the smallest weights", family="pruning", predicted_speedup=None,
        covers_share=0.83, predicted_size_ratio=None, reason="Half the weights matter little.",
        risk="Saves no time by itself.", method="",
    ),
    Recommendation(
        technique="compile", label="Compile", family="compilation", predicted_speedup=1.08, covers_share=1.0,
        predicted_size_ratio=1.0, reason="Fuses the small ops between the matrix products.",
        risk="The first call takes half a minute.", method="share of the time outside matrix products",
    ),
)  # fmt: skip


def step(technique: str = "int8-dynamic", label: str = "Quantize to int8", **changes: object) -> StepRecord:
    """A step that was kept, 4.2x faster; `changes` override its fields."""
    values: dict[str, object] = {
        "technique": technique, "label": label, "options": {}, "verdict": "faster", "accepted": True, "undone": False,
        "reason": "4.2x faster (CI 4.0 to 4.4), cosine 0.9999.", "speedup": Interval(low=4.0, median=4.2, high=4.4),
        "predicted_speedup": 4.0, "size_ratio": 0.38, "before_ms": 111.0, "after_ms": 26.4, "took_s": 6.2,
        "quality": Quality(metric="evaluate", before=0.994, after=0.993, drop=0.001, max_drop=0.01),
    } | changes  # fmt: skip
    return msgspec.convert(values, StepRecord)


HISTORY = (
    step("compile", "Compile", verdict="no gain", accepted=False, speedup=Interval(low=0.97, median=1.02, high=1.07),
         predicted_speedup=1.08, size_ratio=1.0, before_ms=111.0, after_ms=108.9, quality=None,
         reason="The interval of the speed-up does not clear 1."),
    step("bf16", "Cast to bfloat16", undone=True, speedup=Interval(low=2.7, median=2.85, high=3.0),
         predicted_speedup=2.9, size_ratio=0.5, after_ms=38.9, reason="2.9x faster; undone by the user.",
         quality=Quality(metric="fidelity", before=1.0, after=0.99996, drop=0.00004, max_drop=0.01,
                         details={"max_error": 0.0123, "top1_agreement": 1.0})),
    step(),
    step("prune-structured", "Prune channels", options={"ratio": 0.3}, verdict="quality lost", accepted=False,
         speedup=Interval(low=1.2, median=1.31, high=1.4), predicted_speedup=1.4, before_ms=26.4, after_ms=20.1,
         size_ratio=0.7, reason="recall fell by 0.21, and 0.01 was allowed.",
         quality=Quality(metric="evaluate", before=0.993, after=0.783, drop=0.21, max_drop=0.01)),
    step("openvino", "Convert to OpenVINO", verdict="failed", accepted=False, speedup=None, predicted_speedup=None,
         size_ratio=None, quality=None, before_ms=None, after_ms=None, reason="OpenVINO has no operator aten::foo."),
)  # fmt: skip


def bert_after() -> Report:
    """The same model once quantized, with the history that led there."""
    report = bert(median=26.4, linear=0.1, linear_class="DynamicQuantizedLinear")
    memory = msgspec.structs.replace(report.memory, weights_bytes=int(report.memory.weights_bytes * 0.38))
    return msgspec.structs.replace(
        report, memory=memory, history=HISTORY, recommendations=RECOMMENDATIONS[2:]
    )


def tiny() -> Report:
    """A bare `nn.Linear`."""
    row = ModuleRow(path="", class_name="Linear", calls=1.0, total_ms=0.0123, self_ms=0.0123, share=0.9, params=110,
                    flops=200, bytes=440)  # fmt: skip
    op = Op(name="aten::addmm", calls=1.0, self_ms=0.0123, total_ms=0.0123, share=0.9, flops=200, bytes=None,
            bound="overhead", module="", line=None, device="cpu")  # fmt: skip
    return msgspec.structs.replace(
        bert(),
        workload=msgspec.structs.replace(_bert_workload(), model="Linear", origin="call", cell_ms=None, model_ms=None),
        latency=latency(0.0137, repeats=12, p95_ms=None), modules=(row,), ops=(op,), lines=(), findings=(), recommendations=(), cell=None,
        memory=Memory(peak_bytes=1200, weights_bytes=440, activations_bytes=40, parameters=110, status="measured",
                      method="one traced call"),
        flops=Flops(total=200, status="measured", method="counted"),
        trace=Trace(events=120, calls=3, call_ms=0.0137, unattributed_ms=0.0014, source="replay", method="profile"),
    )  # fmt: skip


def unknown() -> Report:
    """Nothing could be measured, and every reason is given."""
    environment = msgspec.structs.replace(ENVIRONMENT, cpu_model=None, physical_cores=None, logical_cores=None,
                                          memory_bytes=None, isa=(), libraries={})  # fmt: skip
    return msgspec.structs.replace(
        bert(),
        environment=environment,
        workload=msgspec.structs.replace(
            _bert_workload(), batch_size=None, dtype=None, cell_ms=None, model_ms=None, replayed=False, inputs=(),
            signatures=(), reason="the model refused a second call"),
        latency=latency(None, status="unavailable", method="", reason="the timer was interrupted", repeats=0),
        memory=Memory(peak_bytes=None, weights_bytes=0, activations_bytes=None, parameters=0, status="unavailable",
                      method="", reason="the allocator was not watched"),
        flops=Flops(total=None, status="unavailable", method="", reason="no formula for aten::foo"),
        hardware=Hardware(cpu_percent=None, rss_bytes=None, method="", reason="psutil was refused"),
        trace=Trace(events=0, calls=0, call_ms=None, unattributed_ms=None, source="cell", method="",
                    reason="another profiler holds the trace"),
        ops=(), modules=(), lines=(), findings=(), recommendations=(), history=(), cell=None,
        partial="interrupted by the user",
    )  # fmt: skip


EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>$\\frac{1}{2}$\x1b[31m\u202e&amp;`"


def hostile() -> Report:
    """Markup, control characters and formulas wherever a name can stand."""
    report = bert_after()
    replace = msgspec.structs.replace
    nan = float("nan")
    op = replace(report.ops[0], name=EVIL, module=EVIL, line=EVIL, self_ms=9.0, share=0.3)
    row = replace(report.modules[0], path=EVIL, class_name=EVIL, self_ms=9.0, share=0.3)
    line = Line(source="this cell", lineno=2, text=EVIL, ms=5.0, share=0.5)
    bad = step(EVIL, EVIL, reason=EVIL, options={EVIL: EVIL}, undone=False, quality=None, before_ms=111.0)
    finding = Finding(
        kind=EVIL, title=EVIL, text=EVIL, share=nan, severity="high", evidence=(EVIL,), modules=(EVIL,)
    )
    advice = replace(RECOMMENDATIONS[0], technique=EVIL, label=EVIL, reason=EVIL, risk=EVIL, method=EVIL,
                     predicted_speedup=nan)  # fmt: skip
    work = replace(report.workload, model=EVIL, dtype=EVIL, inputs=(InputSpec(name=EVIL, kind=EVIL),))
    return replace(
        report, workload=work, ops=(op, *report.ops), modules=(row, *report.modules), history=(*report.history, bad),
        lines=(line, replace(line, source=EVIL)), findings=(finding,), recommendations=(advice,), partial=EVIL,
        training=replace(training(EVIL), phases=training(EVIL).phases[:1]), cell=f"%%optimize\n{EVIL}\n</pre></td></table>\n\n\nx = 1", energy=Energy(energy_j=nan, status="measured", method=EVIL),
        environment=replace(ENVIRONMENT, cpu_model=EVIL, gpus=(Gpu(index=0, name=EVIL, uuid=None, memory_bytes=None,
                                                                   driver=None),)),
    )  # fmt: skip


def training(line: str = "this cell:4") -> Training:
    """Steps of 40 ms with Adam, whose forward and backward are mostly of `line`."""

    def parts(ms: float, *named: tuple[str, float]) -> tuple[PhasePart, ...]:
        return tuple(PhasePart(name=name, ms=ms * share, share=share) for name, share in named)

    layers = (("encoder.layer.0", 0.7), ("", 0.1))
    phases = (
        Phase(name="forward", ms=10.0, share=0.25, ops=412.0, top_ops=parts(10, ("aten::addmm", 0.6), ("aten::gelu", 0.2)),
              top_modules=parts(10, *layers), top_lines=parts(10, (line, 0.98)), peak_bytes=30_000_000),
        Phase(name="backward", ms=20.0, share=0.5, ops=900.0, top_ops=parts(20, ("aten::mm", 0.8)),
              top_modules=parts(20, *layers), top_lines=parts(20, (line, 0.97)), peak_bytes=52_000_000),
        Phase(name="optimizer", ms=8.0, share=0.2, ops=140.0, top_ops=parts(8, ("aten::addcdiv_", 0.4)),
              top_lines=parts(8, ("this cell:7", 1.0)), peak_bytes=50_000_000),
        Phase(name="other", ms=2.0, share=0.05, ops=None),
    )  # fmt: skip
    held: tuple[tuple[HolderKind, int], ...] = (
        ("optimizer state", 40_000_000), ("weights", 20_000_000), ("gradients", 20_000_000), ("activations", 11_000_000),
    )  # fmt: skip
    return Training(
        steps=6, step_ms=40.0, phases=phases, method="torch's own ranges in a trace of 6 steps",
        reason="no `DataLoader` was seen: getting the data is in the rest", peak_bytes=91_000_000,
        at_peak=tuple(Holder(kind=kind, bytes=size, blocks=12) for kind, size in held),
    )  # fmt: skip


def trained() -> Report:
    """A cell that trains."""
    return msgspec.structs.replace(bert(), training=training())


def huge(rows: int = 2000) -> Report:
    """`rows` ops in as many modules with long names."""
    report = bert()
    ops = tuple(
        Op(name=f"aten::op_{i % 97}", calls=1.0, self_ms=10.0 / (i + 1), total_ms=10.0 / (i + 1), share=0.11 / (i + 1),
           flops=i * 1000, bytes=i * 4096, bound="memory", line=f"this cell:{i % 12 + 1}", device="cpu",
           module=f"backbone.stages.{i // 50}.blocks.{i % 50}.feed_forward.projection_{i}")
        for i in range(rows)
    )  # fmt: skip
    modules = tuple(
        ModuleRow(path=op.module or "", class_name=f"ExtraordinarilyLongProjectionLayerName{i % 40}", calls=1.0,
                  total_ms=op.total_ms, self_ms=op.self_ms, share=op.share, params=1000, flops=None, bytes=4000)
        for i, op in enumerate(ops)
    )  # fmt: skip
    lines = tuple(
        Line(
            source="this cell",
            lineno=i + 1,
            text=f"x = layer_{i}(x)",
            ms=400.0 / (i + 1),
            share=0.4 / (i + 1),
        )
        for i in range(400)
    )
    cell = "\n".join(line.text for line in lines)
    return msgspec.structs.replace(report, ops=ops, modules=modules, lines=lines, cell=cell)


def long_history(steps: int = 60) -> Report:
    """Many tries, most of them undone."""
    tried = tuple(
        step(label=f"Quantize to int8, try {i}", undone=i < steps - 1, options={"group_size": 2**i % 4096})
        for i in range(steps)
    )
    return msgspec.structs.replace(bert_after(), history=tried)


def all_samples() -> dict[str, Report]:
    """Every sample by name."""
    return {
        "bert": bert(), "bert_after": bert_after(), "tiny": tiny(), "unknown": unknown(), "hostile": hostile(),
        "huge": huge(), "long_history": long_history(), "trained": trained(),
    }  # fmt: skip
