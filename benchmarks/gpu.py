"""On a GPU: what our clicks bring beside the same means used directly, in one run: `python benchmarks/gpu.py [MODEL ...]`.

Each contestant runs in turns with the eager float32 model; a speed-up is the ratio to it in the same round. Results go
to `benchmarks/results/gpu.json`.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jupyter_optim as jo
from benchmarks.timing import Result, spread
from tests.zoo import named

ROUNDS, BLOCK_S = 7, 0.05
Call = Callable[[], torch.Tensor]


def bert() -> tuple[nn.Module, torch.Tensor]:
    """Six layers of 384, 8 texts of 128 tokens."""
    from transformers import BertConfig, BertModel

    shape = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertModel(shape), torch.randint(0, 30_000, (8, 128), device="cuda")


def resnet() -> tuple[nn.Module, torch.Tensor]:
    """ResNet-18, 32 images of 224."""
    return named("resnet18").build()[0], torch.randn(32, 3, 224, 224, device="cuda")


def mlp() -> tuple[nn.Module, torch.Tensor]:
    """Three wide layers, a batch of 2048."""
    layers = nn.Linear(4096, 8192), nn.ReLU(), nn.Linear(8192, 8192), nn.ReLU(), nn.Linear(8192, 4096)
    return nn.Sequential(*layers), torch.randn(2048, 4096, device="cuda")


MODELS = {"BERT 6 x 384, 8 x 128": bert, "ResNet-18, 32 x 224": resnet, "MLP 4096-8192-8192-4096, 2048": mlp}
CLICKS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "bf16": (("bf16", {}),),
    "bf16, then compile": (("bf16", {}), ("compile", {})),
}


def _first(found: Any) -> torch.Tensor:
    answer = found if isinstance(found, torch.Tensor) else next(iter(found.values()))
    return answer.float()


def _directly(model: nn.Module, x: torch.Tensor) -> dict[str, Call]:
    half = copy.deepcopy(model).to(torch.bfloat16)
    given = x.to(torch.bfloat16) if x.is_floating_point() else x
    compiled = torch.compile(copy.deepcopy(half), mode="reduce-overhead")
    return {"to(bfloat16)": lambda: half(given), "to(bfloat16), torch.compile": lambda: compiled(given)}


def _clicked(model: nn.Module, x: torch.Tensor) -> tuple[dict[str, Call], list[Result]]:
    calls: dict[str, Call] = {}
    steps = []
    for name, clicks in CLICKS.items():
        own = copy.deepcopy(model)
        session = jo.optimize(own, x)
        for technique, options in clicks:
            predicted = session.assessments[technique].predicted_speedup
            step = session.apply(technique, keep="always", **options)
            measured = None if step.speedup is None else step.speedup.median
            steps.append(
                {"technique": technique, "predicted": predicted, "measured": measured, "said": step.reason}
            )
        calls[f"ours: {name}"] = lambda own=own: own(x)  # type: ignore[misc]
    return calls, steps


def _block(call: Call) -> Callable[[], float]:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    calls = max(5, int(BLOCK_S / (time.perf_counter() - began)))

    def block() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            call()
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / calls

    return block


def race(build: Callable[[], tuple[nn.Module, torch.Tensor]]) -> Result:
    """One model: speed-ups over eager float32, and how alike the answers are."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    model, x = build()
    model = model.eval().cuda()
    expected = _first(model(x)).flatten()
    ours, steps = _clicked(model, x)
    calls: dict[str, Call] = {**_directly(model, x), **ours}
    cosines = {
        name: float(torch.cosine_similarity(_first(call()).flatten(), expected, dim=0))
        for name, call in calls.items()
    }
    blocks = {name: _block(call) for name, call in {"eager": lambda: model(x), **calls}.items()}
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    eager_ms = []
    for _ in range(ROUNDS):
        took = {name: block() for name, block in blocks.items()}
        eager_ms.append(1e3 * took["eager"])
        for name in calls:
            ratios[name].append(took["eager"] / took[name])
    return {"eager_ms": spread(eager_ms), "speedups": {name: spread(found) for name, found in ratios.items()},
            "cosines": cosines, "steps": steps}  # fmt: skip


def main() -> None:
    """Print a row for each contestant and keep the figures."""
    # all contestants are copies of one model, whose code PyTorch compiles anew for each that differs from the others
    torch._dynamo.config.recompile_limit = 64
    place = Path(__file__).parent / "results" / "gpu.json"
    found: Result = {
        "machine": {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__},
        "models": {},
    }
    for name, build in MODELS.items():
        if sys.argv[1:] and not any(each in name for each in sys.argv[1:]):
            continue
        with torch.inference_mode():
            found["models"][name] = row = race(build)
        place.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name}: eager {row['eager_ms']['median']:.3g} ms", flush=True)
        for contestant, speed in row["speedups"].items():
            print(
                f"  {contestant:28} {speed['median']:.2f}x  cosine {row['cosines'][contestant]:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
