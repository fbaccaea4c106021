"""`prune-structured` on transformers: what is taken out, what is told of it, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from jupyter_optim.progress import Progress
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.prune_structured import PruneStructured
from jupyter_optim.techniques.transformer_pruning.prune import prune
from tests.techniques.blocks import Grouped, encoder, fused, grouped
from tests.techniques.untimed import subject_of
from tests.zoo import named, outputs_equal, peek
from tests.zoo.timings import short_timings

TOKENS = torch.randn(4, 16, 64)


def pruned(model: nn.Module, inputs: Any, **options: Any) -> tuple[jo.Session, Any]:
    with short_timings(), torch.no_grad():
        session = jo.optimize(model, inputs)
        return session, session.apply("prune-structured", keep="always", **options)


CHECKS: list[tuple[str, dict[str, int], dict[str, int]]] = [
    ("bert", {"encoder.layer.0.intermediate.dense.out_features": 64, "encoder.layer.1.attention.self.query.out_features": 32,
              "encoder.layer.0.attention.self.num_attention_heads": 2, "encoder.layer.0.attention.self.all_head_size": 32,
              "encoder.layer.0.attention.self.attention_head_size": 16},
     {"intermediate_size": 64, "num_attention_heads": 2, "hidden_size": 64}),
    ("distilbert-classifier", {"distilbert.transformer.layer.0.ffn.lin2.in_features": 64,
                               "distilbert.transformer.layer.0.attention.n_heads": 2},
     {"hidden_dim": 64, "n_heads": 2, "dim": 64}),
    ("gpt2", {"transformer.h.0.mlp.c_fc.nf": 128, "transformer.h.0.mlp.c_proj.nx": 128, "transformer.h.1.attn.c_attn.nf": 96,
              "transformer.h.1.attn.split_size": 32, "transformer.h.1.attn.num_heads": 2},
     {"n_inner": 128, "n_head": 2, "n_embd": 64}),
    ("llama", {"model.layers.0.mlp.gate_proj.out_features": 64, "model.layers.0.mlp.down_proj.in_features": 64,
               "model.layers.1.self_attn.q_proj.out_features": 32, "model.layers.1.self_attn.k_proj.out_features": 16,
               "model.layers.1.self_attn.head_dim": 16},
     {"intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}),
    ("vit", {"vit.layers.0.mlp.fc1.out_features": 64, "vit.layers.0.attention.o_proj.in_features": 32},
     {"intermediate_size": 64, "num_attention_heads": 2}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sizes", "config"), CHECKS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_hugging_face_models_lose_width_and_heads_and_know_it(
    tmp_path: Path, name: str, sizes: dict[str, int], config: dict[str, int]
) -> None:
    # GIVEN a model, WHEN half of its inner width and half of its heads are taken out
    model, inputs = named(name).build()
    told, expected = {key: getattr(model.config, key) for key in config}, peek(model, inputs)
    session, step = pruned(model, inputs, ratio=0.5)

    # THEN layers, attributes and config say so, and the residual width is what it was
    assert step.accepted, step.reason
    found = {
        path: getattr(model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in sizes
    }
    assert found == sizes
    assert {key: getattr(model.config, key) for key in config} == config
    assert "blocks" in step.reason

    # AND it takes other inputs, and can be saved
    fewer = {key: value[:1] for key, value in inputs.items() if isinstance(value, torch.Tensor)}
    peek(model, fewer)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").exists()

    # AND undone, it is the model of before with the config of before
    session.undo()
    assert outputs_equal(peek(model, inputs), expected)
    assert {key: getattr(model.config, key) for key in config} == told


@pytest.mark.parametrize(
    ("name", "parts"),
    [("bert", "feed-forward"), ("gpt2", "feed-forward"), ("llama", "all"), ("vit", "feed-forward")],
)
def test_what_was_saved_can_be_loaded(tmp_path: Path, name: str, parts: str) -> None:
    model, inputs = named(name).build()
    _, step = pruned(model, inputs, ratio=0.5, parts=parts)
    assert step.accepted, step.reason
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert outputs_equal(peek(again, inputs), peek(model, inputs))


@pytest.mark.parametrize("build", [grouped, fused, encoder])
def test_what_is_left_answers_as_if_the_rest_were_zero(build: Any) -> None:
    # GIVEN a hand-written model
    model = build()
    masked = copy.deepcopy(model)

    # WHEN a part of it is taken out, and nothing fitted anew
    _, step = pruned(model, TOKENS, ratio=0.5, refit=False)
    assert step.accepted, step.reason

    # THEN it equals the original whose layers multiply all but the remaining columns by zero
    changed = 0
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer.in_features < masked.get_submodule(path).in_features:
            former = masked.get_submodule(path).weight.data
            kept = (former[:, :, None] == layer.weight[:, None, :]).all(0).any(1)
            assert int(kept.sum()) == layer.in_features
            former[:, ~kept] = 0
            changed += 1
    assert changed
    with torch.no_grad():
        assert torch.allclose(model(TOKENS), masked(TOKENS), atol=1e-5)


def test_heads_that_share_keys_go_together() -> None:
    model = grouped()
    _, step = pruned(model, TOKENS, ratio=0.5, parts="heads")
    assert step.accepted, step.reason
    block = model[0]
    assert isinstance(block, Grouped)
    assert (block.n_heads, block.n_kv_heads, block.head_dim) == (4, 2, 8)
    assert (block.wq.out_features, block.wk.out_features, block.wo.in_features) == (32, 16, 32)
    assert block.w1.out_features == 128


def test_what_channels_do_on_the_inputs_is_a_better_guide_than_their_size() -> None:
    # GIVEN the real MiniLM and real texts
    model, tokenizer = minilm.load()
    inputs = {key: value[:4, :64] for key, value in minilm.batch(tokenizer).items()}
    texts = minilm.texts()[40:72]
    reference = minilm.embed(model, tokenizer, texts)
    held_out = {}
    with torch.no_grad():
        subject = subject_of(model, inputs)
        for name, options in (
            ("activation", {}),
            ("kept", {"refit": False}),
            ("magnitude", {"importance": "magnitude"}),
        ):
            draft = Draft(model).root
            given = PruneStructured().parse_options({"ratio": 0.25, "parts": "feed-forward", **options})
            cut = prune(draft, subject, given, Progress()).model
            held_out[name] = float((minilm.embed(cut, tokenizer, texts) * reference).sum(1).mean())
    # THEN embeddings of other texts stay nearer by activation, and nearer still with the refit
    assert held_out["activation"] > held_out["kept"] > held_out["magnitude"], held_out


def test_a_cache_that_the_model_returns_keeps_its_heads() -> None:
    model, inputs = named("gpt2-cache").build()
    _, step = pruned(model, inputs, ratio=0.5)
    assert step.accepted, step.reason
    assert model.transformer.h[0].mlp.c_fc.nf == 128
    assert model.transformer.h[0].attn.num_heads == 4
    assert "use_cache=False" in step.note


def test_taylor_needs_a_loss_and_says_so() -> None:
    without, inputs = named("bert").build()
    _, step = pruned(without, inputs, importance="taylor")
    assert step.verdict == "failed"
    assert "needs a loss" in step.reason
    model, labelled = named("distilbert-classifier").build()
    session, step = pruned(model, labelled, importance="taylor", ratio=0.5)
    assert step.accepted, step.reason
    assert all(parameter.grad is None for parameter in model.parameters())
    session.undo()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_heads_that_the_code_counts_on_are_refused_in_words() -> None:
    model, inputs = named("hand-written-attention").build()
    with short_timings():
        session = jo.optimize(model, inputs)
    assert not session.assessments["prune-structured"].applies
    assert "its code counts on their number" in session.assessments["prune-structured"].reason


@pytest.mark.parametrize(
    "name", ["causal-lm", "transformer-encoder-masked", "transformer-encoder-training", "transformer"]
)
def test_where_heads_cannot_go_the_feed_forward_goes_alone(name: str) -> None:
    model, inputs = named(name).build()
    _, step = pruned(model, inputs, ratio=0.5)
    assert step.accepted, step.reason
    assert "feed-forward channels" in step.note
    assert "Attention heads stay" in step.note


def test_a_taylor_or_activation_of_a_cnn_is_refused_in_words() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    _, step = pruned(model, torch.randn(4, 64), importance="activation")
    assert step.verdict == "failed"
    assert "is for transformers" in step.reason
