"""An engine's answers as part of autograd's graph, for those who call a model without `torch.no_grad`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from jupyter_optim import tree

Compute = Callable[[], list[torch.Tensor]]


class Recomputed(torch.autograd.Function):
    """What an engine answers; a backward pass calls the original, and is the original's (as a checkpoint is)."""

    @staticmethod
    def forward(ctx: Any, run: Compute, original: Callable[[], Any], *weights: torch.Tensor) -> Any:
        """The engine's answers.

        Args:
            ctx: autograd's.
            run: calls the engine.
            original: calls the original model on the same inputs.
            weights: all that gradients may be asked for.
        """
        ctx.original, ctx.weights = original, weights
        outputs = tuple(run())
        ctx.mark_non_differentiable(*[each for each in outputs if not each.is_floating_point()])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """The original's gradients."""
        with torch.enable_grad():
            outputs = tree.tensors(ctx.original())
        wanted = [
            (output, gradient)
            for output, gradient in zip(outputs, gradients, strict=True)
            if output.requires_grad and gradient is not None
        ]
        trained = [each for each in ctx.weights if each.requires_grad]
        found = iter(
            torch.autograd.grad(
                [output for output, _ in wanted],
                trained,
                [gradient for _, gradient in wanted],
                allow_unused=True,
            )
        )
        return (None, None, *[next(found) if each.requires_grad else None for each in ctx.weights])
