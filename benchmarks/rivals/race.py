"""The race itself: blocks of calls in turns, each contestant's speed as a ratio to eager float32 in the same round."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import jupyter_optim as jo
from benchmarks.rivals.models import RUNNERS, Runner
from benchmarks.rivals.others import OTHERS, Call, called
from benchmarks.timing import Result, seconds, spread
from jupyter_optim.session.start import open_session
from jupyter_optim.techniques.graft import CARRIED
from jupyter_optim.workload import Workload
from tests.zoo import ENTRIES, Entry

ROUNDS = 9
BLOCK_S, BLOCK_CALLS = 0.05, 5
SETTLE_S = 0.07
"""Calls before those that count: threads of ONNX Runtime spin for 50 ms behind each call of theirs, and whoever came next
had half of two cores."""
TOO_SLOW, TOO_SLOW_S = 10, 0.25
"""A contestant whose call takes this many times as long as one of the model as it was, and this many seconds, is not
timed further."""
COSINE = 0.99
AS_IT_WAS = "the model as it was"
CLICKS = (
    "openvino-int8", "openvino", "onnxruntime-int8", "onnxruntime", "int8-static", "int8-dynamic", "bf16", "compile",
)  # fmt: skip
"""Techniques of ours that are tried, each alone; the fastest at a cosine of 0.99 or more is the best click."""


def rivals() -> Result:
    """Our best click against the best of the others, model by model."""
    rows = []
    for runner in RUNNERS:
        torch.manual_seed(0)
        with torch.inference_mode():
            rows.append(_race(runner))
    worst = min(row["of_best_rival"] for row in rows)
    return {
        "bar": "each model's own, or 0.98 of the best rival", "holds": all(row["holds"] for row in rows), "ratio": worst,
        "rows": rows,
    }  # fmt: skip


def zoo_rivals() -> Result:
    """The same for an eighth of the zoo, in eval mode; where nothing helps, both sides are the model as it was."""
    rows, left_out = [], {}
    for entry in ENTRIES[::8]:
        torch.manual_seed(0)
        with torch.inference_mode(), torch.random.fork_rng():
            runner = Runner(entry.name, _in_eval_mode(entry), 1.0)
            try:
                rows.append(_race(runner))
            except Exception as error:  # noqa: BLE001 (a model may be none that others take; the table says so)
                left_out[entry.name] = _first_line(error)
    worst = min(row["of_best_rival"] for row in rows)
    return {
        "bar": "0.95 of the best rival on every model", "holds": worst >= 0.95, "ratio": worst,
        "median_ratio": statistics.median(row["of_best_rival"] for row in rows),
        "at_least_0.95": sum(row["of_best_rival"] >= 0.95 for row in rows) / len(rows), "rows": rows, "left_out": left_out,
    }  # fmt: skip


def _in_eval_mode(entry: Entry) -> Callable[[], tuple[nn.Module, Any]]:
    def build() -> tuple[nn.Module, Any]:
        model, inputs = entry.build()
        return model.eval(), inputs

    return build


def _built(runner: Runner) -> tuple[nn.Module, Any]:
    with torch.inference_mode(mode=False):
        return runner.build()


def _race(runner: Runner) -> Result:
    model, inputs = _built(runner)
    eager = called(model, inputs)
    expected = eager().clone()
    limit_s = max(TOO_SLOW_S, TOO_SLOW * seconds(eager))
    contestants: dict[str, Call] = {}
    failed: dict[str, str] = {}
    for name, make in OTHERS.items():
        try:
            call = make(model, inputs, transformer=runner.transformer)
            call()
        except Exception as error:  # noqa: BLE001 (a library may fail in any way, and the table says so)
            failed[name] = _first_line(error)
            continue
        contestants[name] = call
    ours = _clicked(runner, failed)
    for entered in (contestants, ours):
        for name in [name for name, call in entered.items() if seconds(call) > limit_s]:
            del entered[name]
            failed[name] = f"a call takes more than {TOO_SLOW} times as long as one of the model as it was"
    cosines = {name: _cosine(call(), expected) for name, call in {**contestants, **ours}.items()}
    speeds = {AS_IT_WAS: spread([1.0]), **_speeds(eager, {**contestants, **ours})}
    fair = [AS_IT_WAS, *(name for name in contestants if cosines[name] >= COSINE)]
    clicks = [AS_IT_WAS, *(name for name in ours if cosines[name] >= COSINE)]
    rival = max(fair, key=lambda name: speeds[name]["median"])
    click = max(clicks, key=lambda name: speeds[name]["median"])
    of_best = speeds[click]["median"] / speeds[rival]["median"]
    return {
        "model": runner.name, "bar": runner.bar, "best_click": click, "speedup": speeds[click]["median"],
        "best_rival": rival, "of_best_rival": of_best,
        "holds": speeds[click]["median"] >= runner.bar or of_best >= 0.98, "speeds": speeds, "cosines": cosines,
        "failed": failed,
    }  # fmt: skip


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"[:120]


def _clicked(runner: Runner, failed: dict[str, str]) -> dict[str, Call]:
    """By technique, a model of its own to which it was applied."""
    found: dict[str, Call] = {}
    for name in CLICKS:
        torch.manual_seed(0)
        model, inputs = _built(runner)
        session = open_session(Workload.of_call(model, inputs), predict=False)
        try:
            step = session.apply(name, keep="always")
        except jo.OptimError as error:
            failed[f"ours: {name}"] = str(error)
            continue
        if step.accepted:
            found[f"ours: {name}"] = called(model, inputs)
        else:
            failed[f"ours: {name}"] = step.reason
        model.__dict__.pop(CARRIED)
    return found


def _speeds(eager: Call, contestants: dict[str, Call]) -> dict[str, Result]:
    """Speed-ups over `eager` in the same round."""
    blocks = {name: _block(call) for name, call in {"eager": eager, **contestants}.items()}
    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    order, shuffle = list(blocks), random.Random(0).shuffle  # noqa: S311 (no secret)
    for _ in range(ROUNDS):
        shuffle(order)  # so that nobody always runs behind the same one
        times = {name: blocks[name]() for name in order}
        for name in contestants:
            ratios[name].append(times["eager"] / times[name])
    return {name: spread(found) for name, found in ratios.items()}


def _block(call: Call) -> Callable[[], float]:
    call()
    began = time.perf_counter()
    call()
    calls = max(BLOCK_CALLS, int(BLOCK_S / max(1e-6, time.perf_counter() - began)))

    def block() -> float:
        ends = time.perf_counter() + SETTLE_S
        while time.perf_counter() < ends:
            call()  # brings its weights back, too
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return block


def _cosine(found: torch.Tensor, expected: torch.Tensor) -> float:
    a, b = found.double().flatten(), expected.double().flatten()
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))
