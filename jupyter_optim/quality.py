"""What a change does to the model's answers: the user's own score, or fidelity on the captured inputs."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from jupyter_optim import tree
from jupyter_optim.errors import EvaluateFailed, InvalidOption
from jupyter_optim.guard import rng_kept, versions
from jupyter_optim.report import Quality

Evaluate = Callable[[nn.Module], Any]


@dataclass(frozen=True, slots=True)
class MaxDrop:
    """The largest loss of quality that is allowed: absolute, or relative to the score before."""

    value: float
    relative: bool = False

    @classmethod
    def parse(cls, given: float | str | MaxDrop) -> MaxDrop:
        """0.01 is absolute, "1%" is relative. Raises `InvalidOption` for anything else."""
        if isinstance(given, MaxDrop):
            return given
        if isinstance(given, str):
            match = re.fullmatch(r"\s*([0-9.]+)\s*(%?)\s*", given)
            try:
                number = float(match.group(1)) if match else math.nan
            except ValueError:
                number = math.nan
            if match is None or math.isnan(number):
                raise InvalidOption(
                    f'max_drop={given!r}: give a number such as 0.01, or a percentage such as "1%".'
                )
            return cls(number / 100, relative=True) if match.group(2) else cls(number)
        if isinstance(given, bool) or not isinstance(given, numbers.Real) or not 0 <= float(given) < math.inf:
            raise InvalidOption(
                f'max_drop={given!r}: give a number such as 0.01, or a percentage such as "1%".'
            )
        return cls(float(given))

    def allowed(self, before: float) -> float:
        """The drop allowed from a score of `before`."""
        return self.value * abs(before) if self.relative else self.value


def run_evaluate(evaluate: Evaluate, model: nn.Module) -> float:
    """``evaluate(model)`` as a finite float. Leaves the random state as it was.

    Raises:
        EvaluateFailed: it raised, returned no finite number, wrote to the weights, or never called the model.
    """
    parts = set(model.modules())
    called: list[bool] = []

    def note(module: nn.Module, _args: Any) -> None:
        if not called and module in parts:
            called.append(True)

    before = versions(model)
    handle = hooks.register_module_forward_pre_hook(note)
    try:
        with rng_kept():
            score = evaluate(model)
    except Exception as error:
        raise EvaluateFailed(f"evaluate raised {type(error).__name__}: {error}") from error
    finally:
        handle.remove()
    number = _finite(score)
    if versions(model) != before:
        raise EvaluateFailed("evaluate wrote to the weights of the model that it was to judge.")
    if not called and not isinstance(model, torch.jit.ScriptModule):
        raise EvaluateFailed(
            "evaluate never called the model that it was given: it seems to use a global one. Write it as "
            "`def evaluate(model): ...` and call that model, so that a draft can be judged."
        )
    return number


def _finite(score: Any) -> float:
    if isinstance(score, torch.Tensor) and score.numel() == 1:
        score = score.detach().item()
    elif hasattr(score, "item") and getattr(score, "ndim", None) == 0:
        score = score.item()
    if isinstance(score, bool) or not isinstance(score, numbers.Real):
        raise EvaluateFailed(
            f"evaluate returned {type(score).__name__}, and not a number (higher is better)."
        )
    number = float(score)
    if not math.isfinite(number):
        raise EvaluateFailed(f"evaluate returned {number}, and not a finite number (higher is better).")
    return number


def fidelity(reference: Any, outputs: Any, max_drop: MaxDrop) -> Quality:
    """How like `outputs` are to `reference`, the original model's on the same inputs.

    The cosine similarity of all floating-point outputs, each tensor by itself, the lowest counts. Besides, as
    details: the largest error relative to the largest value, and how often the largest entry of the last
    dimension is the same one (top-1 agreement).
    """
    pairs = list(zip(tree.tensors(reference), tree.tensors(outputs), strict=True))
    floating = [(a, b) for a, b in pairs if a.is_floating_point() or a.is_complex()]
    exact = all(torch.equal(a, b) for a, b in pairs if not (a.is_floating_point() or a.is_complex()))
    scores = [_cosine(a, b) for a, b in floating if a.numel()]
    if not exact:
        scores.append(0.0)
    score = min(scores, default=1.0)
    details = {
        "largest_relative_error": max((_relative_error(a, b) for a, b in floating if a.numel()), default=0.0)
    }
    agreement = [_top1(a, b) for a, b in floating if a.dim() >= 2 and a.shape[-1] > 1 and not a.is_complex()]
    if agreement:
        details["top1_agreement"] = min(agreement)
    return Quality(metric="fidelity", before=1.0, after=score, drop=1.0 - score,
                   max_drop=max_drop.allowed(1.0), details=details)  # fmt: skip


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    dense = tensor.to_dense() if tensor.is_sparse else tensor
    flat = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return flat.detach().double().flatten().cpu()


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine similarity; 0 if the change made finite values infinite or NaN."""
    x, y = _flat(a), _flat(b)
    known = torch.isfinite(x)
    if not torch.isfinite(y[known]).all():
        return 0.0
    x, y = x[known], y[known]
    norm = float(x.norm() * y.norm())
    if norm == 0.0:
        return 1.0 if torch.equal(x, y) else 0.0
    return min(1.0, float(x @ y) / norm)


def _relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    x, y = _flat(a), _flat(b)
    known = torch.isfinite(x) & torch.isfinite(y)
    if not known.any():
        return 0.0
    return float((x[known] - y[known]).abs().max() / x[known].abs().max().clamp_min(1e-30))


def _top1(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.detach().argmax(-1) == b.detach().argmax(-1)).double().mean())


def compare_scores(before: float, after: float, max_drop: MaxDrop) -> Quality:
    """The user's own score before and after."""
    return Quality(metric="evaluate", before=before, after=after, drop=before - after,
                   max_drop=max_drop.allowed(before))  # fmt: skip


def mismatch(reference: Any, outputs: Any) -> str | None:
    """How `outputs` differ from `reference` in type, structure, shape, dtype or device, or None.

    A technique may change the numbers, and nothing else.
    """
    if type(reference) is not type(outputs):
        return f"the output became {type(outputs).__name__} instead of {type(reference).__name__}"
    before, after = dict(tree.leaves(reference)), dict(tree.leaves(outputs))
    if before.keys() != after.keys():
        return "the output's structure changed"
    for name, old in before.items():
        new = after[name]
        where = f"output {name}" if name else "the output"
        if type(old) is not type(new):
            return f"{where} became {type(new).__name__} instead of {type(old).__name__}"
        if not isinstance(old, torch.Tensor):
            if [t.dtype for t in tree.held_tensors(old)] != [t.dtype for t in tree.held_tensors(new)]:
                return f"the tensors in {where} ({type(old).__name__}) changed their dtype"
            continue
        for what in ("dtype", "device", "layout"):
            if getattr(old, what) != getattr(new, what):
                return f"{where} changed its {what} from {getattr(old, what)} to {getattr(new, what)}"
        if not old.is_nested and old.shape != new.shape:
            return f"{where} changed its shape from {tuple(old.shape)} to {tuple(new.shape)}"
    return None
