"""Each technique: what it does, when it does not apply, and its source, which is run."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques import int8_dynamic
from jupyter_optim.techniques.int8_dynamic import Int8Dynamic
from jupyter_optim.techniques.int8_layers import Int8Linear
from jupyter_optim.techniques.subject import Layer, Subject
from jupyter_optim.techniques.technique import Option
from tests.techniques.blocks import Harmed, encoder, fused, grouped
from tests.zoo import named
from tests.zoo.timings import short_timings


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    ).eval()


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


def norms_everywhere() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    model = nn.Sequential(
        nn.ConvTranspose2d(3, 8, 2, stride=2), norm, nn.ReLU(), nn.Conv2d(8, 8, 3), norm, nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 5, bias=False), nn.BatchNorm1d(5, affine=False),
    )  # fmt: skip
    for each in model.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            each.running_mean.normal_()
            each.running_var.uniform_(0.5, 2)
    return model.eval()


def twins() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    model[2].load_state_dict(model[0].state_dict())
    return model


def pointwise() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 1), nn.ReLU()).eval()


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 64, batch_first=True)
        self.fc = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(x)[0])


class Outliers(nn.Module):
    """Three channels are much larger than the others, as after a LayerNorm of a trained transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(128))
        self.fc = nn.Linear(128, 128)
        self.out = nn.Linear(128, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.fc(x * self.scale)))


def outliers() -> nn.Module:
    torch.manual_seed(0)
    model = Outliers().eval()
    with torch.no_grad():
        model.scale[:3] = 200.0
        model.fc.weight[:, :3] *= 0.002
    return model


def lstm() -> nn.Module:
    torch.manual_seed(0)
    return Lstm().eval()


class Words(nn.Module):
    """A tiny language model whose output layer is tied to its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 64, padding_idx=0)
        self.middle = nn.Linear(64, 64)
        self.out = nn.Linear(64, 50, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.middle(self.embedding(ids))))


def words() -> nn.Module:
    torch.manual_seed(0)
    return Words().eval()


IDS = torch.arange(24).view(4, 6)
# the same, whichever tests were read before these
torch.manual_seed(0)
FLAT, IMAGE, SEQUENCE = torch.randn(16, 64), torch.randn(4, 3, 16, 16), torch.randn(2, 7, 32)
TOKENS = torch.randn(4, 16, 64)

FEW_DIRECTIONS = torch.randn(60_000, 3) @ torch.randn(3, 64) * 10.0 ** torch.linspace(3, -3, 64) + 500
"""More rows than make up for it: their covariance has lost its rank."""

SOURCES: list[tuple[str, Any, torch.Tensor, dict[str, Any]]] = [
    ("bf16", mlp, FLAT, {}),
    ("fp16", mlp, FLAT, {}),
    ("channels-last", cnn, IMAGE, {}),
    ("fold-batchnorm", cnn, IMAGE, {}),
    ("fold-batchnorm", norms_everywhere, IMAGE, {}),
    (
        "sdpa",
        lambda: nn.Sequential(*(named("hand-written-attention").build()[0] for _ in range(2))).eval(),
        torch.randn(2, 9, 64),
        {},
    ),
    ("int8-dynamic", mlp, FLAT, {"backend": "torch.ao"}),
    ("int8-dynamic", mlp, FLAT, {"backend": "torch.ao", "sensitive": "outliers", "max_drop": 0.0}),
    ("int8-dynamic", mlp, FLAT, {"backend": "torch.ao", "sensitive": "bfloat16", "max_drop": 0.0}),
    ("int8-dynamic", outliers, torch.randn(32, 128), {"backend": "torch.ao", "sensitive": "bfloat16"}),
    ("int8-dynamic", lstm, SEQUENCE, {"backend": "torch.ao"}),
    ("int8-dynamic", lambda: nn.Linear(64, 10).eval(), FLAT, {"backend": "torch.ao"}),
    ("int8-static", mlp, FLAT, {}),
    ("int8-static", cnn, IMAGE, {}),
    ("int8-static", lambda: nn.Linear(64, 10).eval(), FLAT, {}),
    ("int8-mixed", lambda: Harmed().eval(), FLAT, {}),
    ("openvino", mlp, FLAT, {"precision": "f32"}),
    ("openvino-int8", cnn, IMAGE, {"precision": "f32"}),
    ("onnxruntime", mlp, FLAT, {}),
    ("onnxruntime-int8", mlp, FLAT, {"scales": "dynamic"}),
    ("onnxruntime-int8", cnn, IMAGE, {"scales": "static"}),
    ("int8-weight-only", mlp, FLAT, {"compute": "as inputs"}),
    ("int8-weight-only", mlp, FLAT[:2], {"compute": "bfloat16"}),
    ("int8-weight-only", lambda: nn.Linear(64, 10).eval(), FLAT, {"group": "32"}),
    ("int4-weight-only", mlp, FLAT, {"compute": "as inputs"}),
    ("int4-weight-only", mlp, FLAT, {"weighted": False, "group": "128", "compute": "bfloat16"}),
    ("int8-embedding", words, IDS, {}),
    ("int8-embedding", words, IDS, {"bits": "4"}),
    ("int8-embedding", lambda: nn.EmbeddingBag(40, 33).eval(), IDS, {}),
    ("prune-structured", mlp, FLAT, {"ratio": 0.5}),
    ("prune-structured", cnn, IMAGE, {"ratio": 0.5}),
    ("prune-structured", grouped, TOKENS, {"ratio": 0.5}),
    ("prune-structured", fused, TOKENS, {"ratio": 0.5, "refit": False}),
    ("prune-structured", encoder, TOKENS, {"ratio": 0.5, "importance": "magnitude"}),
    ("prune-depth", encoder, TOKENS, {"blocks": 2}),
    ("prune-2:4", mlp, FLAT, {}),
    ("prune-2:4", mlp, FLAT, {"by": "weights"}),
    ("share-weights", twins, FLAT, {"bits": 3}),
    ("prune-magnitude", mlp, FLAT, {"amount": 0.3}),
    ("low-rank", mlp, FLAT, {"energy": 0.5, "where": "smaller", "round_to": 4}),
    ("low-rank", mlp, FLAT, {"energy": 0.5, "where": "smaller", "directions": "weights"}),
    ("low-rank", pointwise, IMAGE, {"energy": 0.7, "where": "smaller", "round_to": 4}),
    ("low-rank", mlp, FEW_DIRECTIONS, {"energy": 0.99, "where": "smaller", "round_to": 1}),
    ("compile", lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU()).eval(), FLAT, {}),
]


@pytest.mark.parametrize(
    ("name", "build", "x", "options"), SOURCES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_source_does_the_same_without_this_package(
    tmp_path: Path, name: str, build: Any, x: torch.Tensor, options: dict[str, Any]
) -> None:
    model = build()
    original = copy.deepcopy(model)
    max_drop = options.get("max_drop", 0.01)
    with short_timings():
        session = jo.optimize(model, x, max_drop=max_drop)
        step = session.apply(
            name, keep="always", **{key: value for key, value in options.items() if key != "max_drop"}
        )
    assert step.accepted, step.reason
    with torch.no_grad():
        expected = model(x)

    given, got = tmp_path / "given.pt", tmp_path / "got.pt"
    torch.save((original, x), given)
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nimport tests.techniques.test_techniques\n"
        f"model, x = torch.load({str(given)!r}, weights_only=False)\nexample_inputs = (x,)\n"
        + session.code()
        + f"\nwith torch.no_grad():\n    torch.save(model(x), {str(got)!r})\n"
    )
    assert "jupyter_optim" not in session.code()
    # sums of float32 depend on how many threads share them, and principal directions on those
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, cwd=Path.cwd(),
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.allclose(torch.load(got), expected, atol=1e-5 * max(1.0, float(expected.abs().max())))


def test_int8_takes_a_quarter_of_the_bytes_and_keeps_the_answers() -> None:
    model, x = mlp(), FLAT
    with short_timings():
        session = jo.optimize(model, x)
        step = session.apply("int8-dynamic", keep="always", backend="torch.ao")
    assert step.size_ratio == pytest.approx(0.25, abs=0.06)
    assert step.quality.after > 0.999
    assert {type(m).__name__ for m in model if not isinstance(m, nn.ReLU)} == {"Int8Linear"}


@pytest.mark.parametrize(
    ("layer_ms", "torchaos_ms", "won"),
    [(20.0, 2.0, "by torchao, compiled"), (20.0, 3.9, "by torch.ao"), (2.0, 0.1, "by torch.ao")],
)
def test_int8_races_the_compiled_kernels_where_a_call_is_long_enough(
    monkeypatch: pytest.MonkeyPatch, layer_ms: float, torchaos_ms: float, won: str
) -> None:
    # GIVEN layers that take so long, kernels of torch.ao's that take 4 ms, and torchao's
    raced: list[list[str]] = []
    found = Int8Dynamic.layers

    def layer_times(layer: Layer, modules: list[nn.Module]) -> list[float]:
        raced.append([type(module).__name__ for module in modules])
        return [4.0 if isinstance(module, Int8Linear) else torchaos_ms for module in modules]

    def layers(self: Int8Dynamic, subject: Subject) -> list[Layer]:
        return [dataclasses.replace(layer, total_ms=layer_ms) for layer in found(self, subject)]

    monkeypatch.setattr(int8_dynamic, "layer_times", layer_times)
    monkeypatch.setattr(Int8Dynamic, "layers", layers)
    with short_timings():
        session = jo.optimize(mlp(), FLAT)
        # WHEN int8 is applied, THEN the faster kernels are taken
        step = session.apply("int8-dynamic", keep="always", sensitive="int8")
    assert won in step.reason
    # and nothing is compiled for a race of short calls
    assert ("Sequential" in raced[-1]) == (layer_ms > 5)


@pytest.mark.parametrize(
    ("form", "words"), [("outliers", "channels in float32"), ("bfloat16", "1 in bfloat16")]
)
def test_sparing_what_is_sensitive_keeps_the_answers(form: str, words: str) -> None:
    model, x = outliers(), torch.randn(32, 128)
    found = {}
    with short_timings():
        session = jo.optimize(model, x, max_drop=1e-3)
        for choice in ("int8", form):
            found[choice] = session.apply("int8-dynamic", keep="always", backend="torch.ao", sensitive=choice)
            session.undo()
    assert found["int8"].quality.after < 0.99
    assert found[form].quality.after > 0.999
    assert words in found[form].reason


def test_16_bit_models_take_and_give_what_they_did() -> None:
    model, x = mlp(), FLAT
    with short_timings():
        session = jo.optimize(model, x)
        session.apply("bf16", keep="always")
    assert next(model.parameters()).dtype is torch.bfloat16
    assert model(x).dtype is torch.float32
    assert x.dtype is torch.float32


def test_pruned_channels_are_gone_and_rounded() -> None:
    model = cnn()
    with short_timings():
        session = jo.optimize(model, IMAGE)
        step = session.apply("prune-structured", keep="always", ratio=0.5, round_to=8)
    assert (model[0].out_channels, model[3].out_channels, model[7].out_features) == (16, 16, 10)
    assert model[0].weight.shape == (16, 3, 3, 3)
    assert step.size_ratio < 0.5


def test_magnitude_pruning_zeroes_the_asked_fraction_and_says_that_it_saves_nothing() -> None:
    model = mlp()
    with short_timings():
        session = jo.optimize(model, FLAT)
        assessment = session.assessments["prune-magnitude"]
        session.apply("prune-magnitude", keep="always", amount=0.5)
    weights = torch.cat([p.detach().flatten() for n, p in model.named_parameters() if n.endswith("weight")])
    assert float((weights == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert assessment.predicted_speedup == 1.0
    assert "saves no time" in assessment.reason


REFUSALS: list[tuple[str, Any, Any, str]] = [
    ("int8-dynamic", lambda: mlp().train(), FLAT, "train mode"),
    ("int8-dynamic", lambda: nn.Sequential(nn.Conv2d(3, 4, 1)).eval(), IMAGE, "no Linear, LSTM or GRU"),
    ("int8-dynamic", lambda: mlp().double(), FLAT.double(), "not in float32"),
    ("int8-static", lambda: mlp().train(), FLAT, "train mode"),
    ("int8-static", lambda: nn.Sequential(nn.Conv1d(3, 4, 1)).eval(), IMAGE.flatten(2), "no Linear or Conv2d"),
    ("int8-static", lambda: nn.Conv2d(3, 4, 3, padding_mode="reflect", padding=1).eval(), IMAGE, "pad otherwise"),
    ("int8-mixed", mlp, FLAT, "int8-static takes them all"),
    ("bf16", lambda: mlp().bfloat16(), FLAT.bfloat16(), "already"),
    ("bf16", nn.ReLU, FLAT, "no parameters"),
    ("channels-last", mlp, FLAT, "no 2-d or 3-d convolution"),
    ("channels-last", lambda: cnn().to(memory_format=torch.channels_last), IMAGE, "already"),
    ("int8-weight-only", lambda: mlp().train(), FLAT, "train mode"),
    ("int8-weight-only", lambda: nn.Sequential(nn.Conv2d(3, 4, 1)).eval(), IMAGE, "no Linear layer"),
    ("int4-weight-only", lambda: mlp().double(), FLAT.double(), "not in float32 or 16 bits"),
    ("int8-embedding", mlp, FLAT, "no Embedding or EmbeddingBag"),
    ("int8-embedding", lambda: nn.Embedding(50, 8, max_norm=1.0).eval(), IDS, "writes to its own parameters"),
    ("fp8", mlp, FLAT, "compute capability 8.9"),
    ("prune-structured", lambda: nn.Linear(64, 10).eval(), FLAT, "fewer than two"),
    ("prune-structured", lambda: nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 8)), FLAT, "LayerNorm"),
    ("prune-structured", lambda: nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 4)), FLAT, "too narrow"),
    ("prune-magnitude", lambda: nn.Sequential(nn.ReLU()), FLAT, "no Linear or convolution"),
    ("compile", lambda: mlp().train(), FLAT, "train mode"),
    ("prune-2:4", lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU()), torch.randn(4, 6), "multiple of 4"),
    ("share-weights", lambda: nn.Sequential(nn.Linear(8, 8)), torch.randn(4, 8), "1024 weights"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "build", "x", "why"), REFUSALS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_where_it_does_not_apply_it_says_why(name: str, build: Any, x: torch.Tensor, why: str) -> None:
    with short_timings():
        session = jo.optimize(build(), x)
    assessment = session.assessments[name]
    assert not assessment.applies
    assert why in assessment.reason
    with pytest.raises(jo.NotApplicable, match="does not apply"):
        session.apply(name)
    assert name not in [r.technique for r in session.recommendations]


def test_every_technique_tells_what_a_panel_needs() -> None:
    names = [t.name for t in jo.techniques()]
    assert names == [
        "int8-dynamic", "int8-static", "int8-mixed", "openvino", "openvino-int8", "onnxruntime", "onnxruntime-int8", "bf16", "fp16", "channels-last",
        "fold-batchnorm", "sdpa", "compile", "int8-weight-only", "int4-weight-only", "int8-embedding", "fp8", "low-rank", "prune-structured", "prune-depth",
        "prune-magnitude", "prune-2:4", "share-weights", "tensorrt",
    ]  # fmt: skip
    for each in jo.techniques():
        assert each.label
        assert each.family
        assert each.risk.endswith(".")
        assert each.parse_options({}) == {option.name: option.default for option in each.options}


@pytest.mark.parametrize("value", [float("nan"), -1, 2, "a", True, None])
def test_a_number_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(jo.InvalidOption):
        Option("ratio", "Ratio", 0.3, low=0.05, high=0.9).parse(value)


def test_the_work_of_int8_layers_is_known_and_measured_against_int8() -> None:
    model = mlp()
    with short_timings():
        session = jo.optimize(model, FLAT)
        before = session.report.flops.total
        session.apply("int8-dynamic", keep="always", backend="torch.ao", sensitive="int8")
    ops = [op for op in session.report.ops if op.name.startswith("quantized::linear")]
    assert {op.dtype for op in ops} == {"int8"}
    assert session.report.flops.total == before
