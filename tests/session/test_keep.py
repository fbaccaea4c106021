"""Save an optimized model, and make a fresh original the same: every technique, and every way files can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import jupyter_optim as jo
from jupyter_optim.techniques.precision import Bf16
from jupyter_optim.techniques.technique import Change, Kept
from tests.techniques.test_techniques import (
    FLAT,
    IMAGE,
    SEQUENCE,
    cnn,
    lstm,
    mlp,
    norms_everywhere,
    outliers,
    pointwise,
    words,
)  # fmt: skip
from tests.zoo import check_same, fingerprint, named, outputs_equal, peek
from tests.zoo.timings import short_timings


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


class Tied(nn.Module):
    """Embedding and output layer share their weights, as in a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.norm = nn.LayerNorm(32)
        self.inner = nn.Linear(32, 32)
        self.out = nn.Linear(32, 50, bias=False)
        self.out.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(32), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.inner(self.norm(self.embedding(ids))) * self.mask)


def tied() -> nn.Module:
    torch.manual_seed(0)
    return Tied().eval()


def gru() -> nn.Module:
    torch.manual_seed(0)
    return nn.GRU(32, 16, num_layers=2, bidirectional=True, batch_first=True).eval()


IDS = torch.randint(0, 50, (4, 7), generator=torch.Generator().manual_seed(0))
TORCH_AO = {"backend": "torch.ao"}
STEPS: list[tuple[str, Callable[[], nn.Module], torch.Tensor, list[tuple[str, dict[str, Any]]]]] = [
    ("bf16", mlp, FLAT, [("bf16", {})]),
    ("fp16", lstm, SEQUENCE, [("fp16", {})]),
    ("bf16-tied", tied, IDS, [("bf16", {})]),
    ("channels-last", cnn, IMAGE, [("channels-last", {})]),
    ("prune-magnitude", mlp, FLAT, [("prune-magnitude", {})]),
    ("prune-structured", cnn, IMAGE, [("prune-structured", {"ratio": 0.5})]),
    ("int8", mlp, FLAT, [("int8-dynamic", TORCH_AO)]),
    ("int8-root", lambda: nn.Linear(64, 10).eval(), FLAT, [("int8-dynamic", TORCH_AO)]),
    ("int8-outliers", outliers, torch.randn(32, 128), [("int8-dynamic", {**TORCH_AO, "sensitive": "outliers"})]),
    ("int8-bf16", outliers, torch.randn(32, 128), [("int8-dynamic", {**TORCH_AO, "sensitive": "bfloat16"})]),
    ("int8-lstm", lstm, SEQUENCE, [("int8-dynamic", TORCH_AO)]),
    ("int8-gru", gru, SEQUENCE, [("int8-dynamic", TORCH_AO)]),
    ("fold-batchnorm", cnn, IMAGE, [("fold-batchnorm", {})]),
    ("fold-everywhere", norms_everywhere, IMAGE, [("fold-batchnorm", {})]),
    ("low-rank", mlp, FLAT, [("low-rank", {"energy": 0.5, "where": "smaller", "round_to": 4})]),
    ("low-rank-1x1", pointwise, IMAGE, [("low-rank", {"energy": 0.7, "where": "smaller", "round_to": 4})]),
    ("int8-weights", mlp, FLAT, [("int8-weight-only", {})]),
    ("int4-weights", mlp, FLAT, [("int4-weight-only", {"compute": "bfloat16"})]),
    ("int8-embedding", words, IDS, [("int8-embedding", {})]),
    ("packed-twice", words, IDS, [("int8-weight-only", {"group": "32"}), ("int8-embedding", {"bits": "4"})]),
    ("two", cnn, IMAGE, [("prune-structured", {"ratio": 0.5}), ("channels-last", {})]),
    ("three", mlp, FLAT, [("prune-structured", {"ratio": 0.5}), ("prune-magnitude", {}), ("int8-dynamic", TORCH_AO)]),
    ("four", cnn, IMAGE, [("prune-structured", {"ratio": 0.5}), ("fold-batchnorm", {}), ("channels-last", {}), ("int8-static", {})]),
    ("none", mlp, FLAT, []),
]  # fmt: skip


def shaken(model: nn.Module) -> nn.Module:
    """Other weights, so that none of the saved ones is there by chance."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
    return model


def saved(build: Callable[[], nn.Module], x: torch.Tensor, steps: Any, path: Path) -> nn.Module:
    model = build()
    session = jo.optimize(model, x, max_drop=1e-3)
    for name, options in steps:
        step = session.apply(name, keep="always", **options)
        assert step.accepted, step.reason
    assert session.save(path) == path
    return model


def answers(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = model(x)
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize(
    ("build", "x", "steps"), [each[1:] for each in STEPS], ids=[each[0] for each in STEPS]
)
def test_a_fresh_original_becomes_the_saved_model(
    tmp_path: Path, build: Any, x: torch.Tensor, steps: Any
) -> None:
    model = saved(build, x, steps, tmp_path / "kept")
    fresh = shaken(build())
    inner = list(fresh.modules())

    assert jo.load(fresh, tmp_path / "kept") is fresh

    assert torch.equal(answers(fresh, x), answers(model, x))
    assert [type(module) for module in fresh.modules()] == [type(module) for module in model.modules()]
    assert sum(p.numel() for p in fresh.parameters()) == sum(p.numel() for p in model.parameters())
    assert next(fresh.modules()) is inner[0]
    assert {each.suffix for each in (tmp_path / "kept").iterdir()} == {".json", ".safetensors"}
    # and it can be worked on like any other
    assert not jo.optimize(fresh, x).can_undo


@pytest.mark.parametrize("name", ["bert", "gpt2", "gru-bidirectional", "tied-autoencoder", "resnet-small"])
def test_every_technique_of_a_zoo_model_is_carried(tmp_path: Path, name: str) -> None:
    entry = named(name)
    model, inputs = entry.build()
    session = jo.optimize(model, inputs)
    carried = {
        each.name for each in jo.techniques() if each.rebuilds == "structure" and each.family != "engine"
    }
    for each in session.recommendations:
        if each.technique not in carried:
            continue
        options = TORCH_AO if each.technique == "int8-dynamic" else {}
        step = session.apply(each.technique, keep="always", **options)
        if step.accepted:
            session.save(tmp_path / each.technique)
            fresh = jo.load(shaken(entry.build()[0]), tmp_path / each.technique)
            assert outputs_equal(peek(fresh, inputs), peek(model, inputs)), each.technique
            session.undo()
    assert list(tmp_path.iterdir())


def test_what_was_trained_after_the_change_is_what_is_saved(tmp_path: Path) -> None:
    model = saved(cnn, IMAGE, [("prune-structured", {"ratio": 0.5})], tmp_path / "kept")
    shaken(model)
    jo.current().save(tmp_path / "kept")
    fresh = jo.load(cnn(), tmp_path / "kept")
    assert torch.equal(answers(fresh, IMAGE), answers(model, IMAGE))
    assert isinstance(fresh[0].weight, nn.Parameter)
    assert fresh[0].weight.requires_grad


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Path) -> None:
    saved(tied, IDS, [("bf16", {})], tmp_path / "kept")
    assert "out.weight" not in load_file(tmp_path / "kept" / "weights.safetensors")
    fresh = jo.load(tied(), tmp_path / "kept")
    assert fresh.out.weight is fresh.embedding.weight


def test_a_compiled_model_is_compiled_again(tmp_path: Path) -> None:
    build = lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU()).eval()  # noqa: E731
    model = saved(build, FLAT, [("compile", {})], tmp_path / "kept")
    fresh = jo.load(shaken(build()), tmp_path / "kept")
    assert fresh._compiled_call_impl is not None
    assert torch.allclose(answers(fresh, FLAT), answers(model, FLAT), atol=1e-6)


def test_torchaos_tensors_are_carried_too(tmp_path: Path) -> None:
    model = saved(mlp, FLAT, [("int8-dynamic", {"backend": "torchao"})], tmp_path / "kept")
    fresh = jo.load(shaken(mlp()), tmp_path / "kept")
    assert torch.allclose(answers(fresh, FLAT), answers(model, FLAT), atol=1e-5)


def test_a_step_undone_is_not_saved(tmp_path: Path) -> None:
    model = mlp()
    session = jo.optimize(model, FLAT)
    session.apply("bf16", keep="always")
    session.undo()
    session.save(tmp_path / "kept")
    assert json.loads((tmp_path / "kept" / "recipe.json").read_bytes())["steps"] == []
    assert torch.equal(answers(jo.load(mlp(), tmp_path / "kept"), FLAT), answers(model, FLAT))


# What is wrong with files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved(mlp, FLAT, [("prune-structured", {"ratio": 0.5}), ("int8-dynamic", TORCH_AO)], tmp_path / "kept")
    return tmp_path / "kept"


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    recipe = json.loads((folder / "recipe.json").read_bytes())
    change(recipe)
    (folder / "recipe.json").write_text(json.dumps(recipe))


def other_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Weights that were changed by somebody who changed the recipe's check sum too."""
    from jupyter_optim.session.keep import _sha256

    file = folder / "weights.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    edited(folder, lambda recipe: recipe.update(weights_sha256=_sha256(file)))


def _pickled(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    torch.save(mlp(), folder / "weights.safetensors")
    from jupyter_optim.session.keep import _sha256

    edited(folder, lambda r: r.update(weights_sha256=_sha256(folder / "weights.safetensors")))


def _layer(recipe: dict[str, Any], **changes: Any) -> None:
    next(iter(recipe["steps"][0]["facts"]["layers"].values())).update(changes)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "cannot be read"),
    "no recipe": (lambda f: (f / "recipe.json").unlink(), "recipe.json cannot be read"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors cannot be read"),
    "truncated": (lambda f: (f / "recipe.json").write_bytes((f / "recipe.json").read_bytes()[:200]), "broken"),
    "no JSON": (lambda f: (f / "recipe.json").write_bytes(b"\xff\xfe"), "broken"),
    "a list": (lambda f: (f / "recipe.json").write_text("[]"), "broken"),
    "cut": (lambda f: (f / "weights.safetensors").write_bytes((f / "weights.safetensors").read_bytes()[:-9]), "cut off"),
    "pickle": (_pickled, "weights.safetensors cannot be read"),
    "newer": (lambda f: edited(f, lambda r: r.update(schema_version=2, steps="other")), "install a newer one"),
    "unknown": (lambda f: edited(f, lambda r: r["steps"][0].update(technique="magic")), "no technique 'magic'"),
    "option": (lambda f: edited(f, lambda r: r["steps"][0]["options"].update(ratio=7)), "ratio=7"),
    "facts": (lambda f: edited(f, lambda r: r["steps"][1].update(facts={})), "cannot be made anew"),
    "path": (lambda f: edited(f, lambda r: r["steps"][1]["facts"]["layers"].append("x.y")), "cannot be made anew"),
    "huge": (lambda f: edited(f, lambda r: _layer(r, shapes={"weight": [10**9, 10**9]})), "cannot be cut"),
    "negative": (lambda f: edited(f, lambda r: _layer(r, shapes={"weight": [-1, 2]})), "cannot be cut"),
    "attribute": (lambda f: edited(f, lambda r: _layer(r, widths={"forward": 3})), "no width 'forward'"),
    "other shape": (
        lambda f: other_weights(f, lambda t: t.update({"0.packed::int8": torch.zeros(3, 3, dtype=torch.int8)})),
        r"`0\.packed::int8` is int8",
    ),
    "missing weights": (lambda f: other_weights(f, lambda t: t.pop("0.packed::bias")), "no weights for"),
    "more weights": (lambda f: other_weights(f, lambda t: t.update(spare=torch.ones(1))), "no place for: `spare`"),
    "alias": (lambda f: edited(f, lambda r: r.update(aliases={"0.bias": "nowhere"})), "no weights for `nowhere`"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_and_the_model_stays_as_it_is(folder: Path, name: str) -> None:
    breaks, why = BROKEN[name]
    breaks(folder)
    fresh = mlp()
    before = fingerprint(fresh)
    with pytest.raises(jo.OptimError, match=why):
        jo.load(fresh, folder)
    check_same(before, fingerprint(fresh))


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (cnn, "`0` is a Conv2d, and was a Linear"),
        (lambda: nn.Sequential(nn.Linear(64, 64)), "`bias` of `0` is"),
        (lambda: mlp().double(), "float64"),
        (lambda: nn.Sequential(*list(mlp())[:-1]), "`4` is missing"),
        (lambda: nn.Sequential(*mlp(), nn.ReLU()), "`5`, a ReLU, is not in the saved one"),
        (lstm, "the model is a Lstm, and was a Sequential"),
    ],
)
def test_another_model_is_told_the_first_difference(folder: Path, build: Any, why: str) -> None:
    other = build()
    before = fingerprint(other)
    with pytest.raises(jo.InvalidRecipe, match=why):
        jo.load(other, folder)
    check_same(before, fingerprint(other))


def test_a_model_with_changes_in_place_is_not_loaded_into(folder: Path) -> None:
    model = mlp()
    jo.optimize(model, FLAT).apply("prune-magnitude", keep="always")
    with pytest.raises(jo.OptimError, match="reset"):
        jo.load(model, folder)
    with pytest.raises(jo.InvalidModel):
        jo.load("model", folder)  # type: ignore[arg-type]


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("kept")
    session = jo.optimize(mlp(), FLAT)
    with pytest.raises(jo.OptimError, match="is no saved model"):
        session.save(tmp_path / "notes")
    with pytest.raises(jo.OptimError, match="There is no folder"):
        session.save(tmp_path / "nowhere" / "kept")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "kept"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["notes"]


def test_a_technique_that_cannot_be_made_anew_says_so_when_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = jo.optimize(mlp(), FLAT)
    session.apply("bf16", keep="always")
    monkeypatch.setattr(Bf16, "rebuilds", "never")
    with pytest.raises(jo.NotApplicable, match="Use bfloat16 cannot be made anew"):
        session.save(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_what_is_converted_anew_gets_the_weights_and_the_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def rebuild(self: Any, draft: nn.Module, kept: Kept) -> Change:
        seen.append((draft[0].weight.detach().clone(), kept.inputs))
        return Change(draft)

    model = saved(mlp, FLAT, [("prune-magnitude", {})], tmp_path / "kept")
    from jupyter_optim.techniques.prune_magnitude import PruneMagnitude

    monkeypatch.setattr(PruneMagnitude, "rebuilds", "afterwards")
    monkeypatch.setattr(PruneMagnitude, "rebuild", rebuild)
    jo.load(shaken(mlp()), tmp_path / "kept", inputs=FLAT)
    assert torch.equal(seen[0][0], model[0].weight)
    assert seen[0][1] == ((FLAT,), {})
