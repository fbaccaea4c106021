"""`prune-depth`: which blocks go, who is told, and where it does not apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from jupyter_optim.techniques.prune_depth import PruneDepth
from tests.techniques.blocks import encoder
from tests.techniques.untimed import subject_of, transformed
from tests.zoo import named, outputs_equal, peek
from tests.zoo.timings import short_timings

TOKENS = torch.randn(4, 16, 64)


def dropped(model: nn.Module, inputs: Any, **options: Any) -> tuple[jo.Session, Any]:
    with short_timings(), torch.no_grad():
        session = jo.optimize(model, inputs)
        return session, session.apply("prune-depth", keep="always", **options)


def test_the_block_that_does_least_goes() -> None:
    # GIVEN an encoder whose third block does nearly nothing
    model = encoder()
    with torch.no_grad():
        for name, parameter in model.layers[2].named_parameters():
            parameter.mul_(0.01 if "norm" not in name else 1)
    third, last = model.layers[2], model.layers[3]

    # WHEN one block is dropped
    session, step = dropped(model, TOKENS)

    # THEN it is that one, the others keep their objects, and undo brings it back
    assert step.accepted, step.reason
    assert "layers.2" in step.note
    assert len(model.layers) == model.num_layers == 3
    assert model.layers[2] is last
    assert step.quality.after > 0.95
    session.undo()
    assert len(model.layers) == 4
    assert model.layers[2] is third


@pytest.mark.parametrize(
    ("name", "path", "attribute"),
    [("bert", "encoder.layer", "num_hidden_layers"), ("gpt2", "transformer.h", "n_layer"),
     ("llama", "model.layers", "num_hidden_layers"), ("vit", "vit.layers", "num_hidden_layers"),
     ("distilbert-classifier", "distilbert.transformer.layer", "n_layers")],
)  # fmt: skip
def test_hugging_face_models_know_their_depth_and_can_be_loaded(
    tmp_path: Path, name: str, path: str, attribute: str
) -> None:
    model, inputs = named(name).build()
    session, step = dropped(model, inputs)
    assert step.accepted, step.reason
    assert len(model.get_submodule(path)) == 1
    assert getattr(model.config, attribute) == 1
    assert {m.layer_idx for m in model.modules() if isinstance(getattr(m, "layer_idx", None), int)} <= {0}
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert outputs_equal(peek(again, inputs), peek(model, inputs))
    session.undo()
    assert len(model.get_submodule(path)) == getattr(model.config, attribute) == 2


def test_on_real_weights_the_least_like_block_is_worth_most() -> None:
    # GIVEN the real MiniLM
    model, tokenizer = minilm.load()
    inputs = {key: value[:4, :64] for key, value in minilm.batch(tokenizer).items()}
    texts = minilm.texts()[40:72]
    reference = minilm.embed(model, tokenizer, texts)
    draft = transformed(PruneDepth(), subject_of(model, inputs))
    chosen = float((minilm.embed(draft, tokenizer, texts) * reference).sum(1).mean())

    # THEN embeddings are nearer than without its first block
    other, _ = minilm.load()
    del other.encoder.layer[0]
    assert chosen > float((minilm.embed(other, tokenizer, texts) * reference).sum(1).mean())


def test_more_blocks_than_there_are_is_refused_in_words() -> None:
    _, step = dropped(encoder(), TOKENS, blocks=4)
    assert step.verdict == "failed"
    assert "3 can" in step.reason


@pytest.mark.parametrize("name", ["mlp", "t5", "mixture-of-experts"])
def test_where_no_blocks_follow_one_another_it_says_so(name: str) -> None:
    model, inputs = named(name).build()
    with short_timings():
        session = jo.optimize(model, inputs)
    assert not session.assessments["prune-depth"].applies
    assert "no ModuleList or Sequential" in session.assessments["prune-depth"].reason


def test_a_cache_that_the_model_returns_keeps_its_layers() -> None:
    model, inputs = named("gpt2-cache").build()
    with short_timings():
        session = jo.optimize(model, inputs)
    assert not session.assessments["prune-depth"].applies
    assert "what the model returns" in session.assessments["prune-depth"].reason
