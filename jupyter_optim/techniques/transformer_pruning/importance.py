"""How much each unit matters: by its weights, by what it does on the inputs, or by the gradient of a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import NotApplicable
from jupyter_optim.techniques.input_moments import Moments, every_layer_called, rows_of
from jupyter_optim.techniques.matrices import is_transposed, matrix_of
from jupyter_optim.techniques.subject import Subject
from jupyter_optim.techniques.transformer_pruning.parts import Part, kept_rows

NEEDS_LOSS = (
    "importance='taylor' needs a loss to differentiate, and the model returns none: call it with labels, so that its "
    "outputs have a `loss`, or choose 'activation'."
)


def by_magnitude(root: nn.Module, part: Part) -> torch.Tensor:
    """Squares of the weights into a unit times those out of it, shape (units,); float64."""
    into = torch.zeros(part.units, dtype=torch.float64)
    for each in part.producers:
        squares = matrix_of(root.get_submodule(each.path)).double().square().sum(1).cpu()
        for unit in range(part.units):
            into[unit] += squares[kept_rows(each, part.units, torch.tensor([unit]))].sum()
    out = matrix_of(root.get_submodule(part.consumer)).double().square().sum(0).cpu()
    return into * out.view(part.units, part.size).sum(1)


def by_activation(root: nn.Module, part: Part, moments: Moments) -> torch.Tensor:
    """Mean square of what a unit adds to the consumer's outputs, its mean apart if the bias can take that.

    Shape (units,); float64. For channels this is the criterion of Wanda (arXiv 2306.11695), of whole columns.
    """
    layer = root.get_submodule(part.consumer)
    weight = matrix_of(layer).double()
    spread = (
        moments.covariance if layer._parameters.get("bias") is not None else moments.products / moments.rows
    )
    scores = []
    for columns in torch.arange(part.units * part.size).view(part.units, part.size):
        own = weight[:, columns]
        scores.append((own @ spread[columns][:, columns] * own).sum())
    return torch.stack(scores).cpu()


def by_taylor(root: nn.Module, parts: list[Part], subject: Subject) -> dict[Part, torch.Tensor]:
    """Square of the loss that is lost with a unit, to first order: activation times gradient (arXiv 1906.10771).

    Raises:
        NotApplicable: the model returns no loss.
    """
    inputs: dict[str, list[torch.Tensor]] = {part.consumer: [] for part in parts}
    consumers = {root.get_submodule(path): path for path in inputs}

    def keep(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0] if args[0].requires_grad else args[0].detach().requires_grad_()
        inputs[consumers[module]].append(x)
        return (x, *args[1:])

    handles = [module.register_forward_pre_hook(keep) for module in consumers]
    workload = subject.workload
    try:
        with (
            workload.undisturbed(root), workload.mode.applied(root), torch.inference_mode(False), torch.enable_grad(),
            every_layer_called(),
        ):  # fmt: skip
            args, kwargs = workload.fresh_inputs()
            loss = loss_of(workload.call(root, args, kwargs))
            if loss is None or not loss.requires_grad:
                raise NotApplicable(NEEDS_LOSS)
            tensors = [x for found in inputs.values() for x in found]
            gradients = iter(torch.autograd.grad(loss, tensors, allow_unused=True))
    finally:
        for handle in handles:
            handle.remove()
    scores = {part: torch.zeros(part.units, dtype=torch.float64) for part in parts}
    for part in parts:
        for x in inputs[part.consumer]:
            gradient = next(gradients)
            if gradient is not None:
                lost = rows_of(root, (x * gradient).detach().double()).view(-1, part.units, part.size)
                scores[part] += lost.sum(2).square().sum(0).cpu()
    return scores


def loss_of(outputs: Any) -> torch.Tensor | None:
    """The scalar that the model returns as its loss, if it does."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 0:
        loss = outputs
    return loss if isinstance(loss, torch.Tensor) and loss.dim() == 0 else None


def refit_(root: nn.Module, part: Part, kept: torch.Tensor, moments: Moments, shrinkage: float) -> None:
    """Fit the consumer to its former outputs, on the kept units of the captured inputs: least squares.

    Called before `cut_`: the kept columns of the weight change, and the bias takes the rest's mean.
    """
    layer = root.get_submodule(part.consumer)
    weight, bias = layer._parameters["weight"], layer._parameters.get("bias")
    assert weight is not None  # `is_matrix` looked
    exact = matrix_of(layer).double()
    mean = moments.mean if bias is not None else torch.zeros_like(moments.mean)
    spread = moments.products / moments.rows - torch.outer(mean, mean)
    ridge = spread.diagonal().mean() * min(1.0, shrinkage * len(spread) / moments.rows) + 1e-12
    columns = (
        torch.arange(part.units * part.size).view(part.units, part.size)[kept].flatten().to(exact.device)
    )
    inner = spread[columns][:, columns]
    inner = inner + torch.eye(len(columns), dtype=inner.dtype, device=inner.device) * ridge
    # a ridge towards the former weights, not towards zero: few rows change little
    wanted = exact @ spread[:, columns] + ridge * exact[:, columns]
    fitted = torch.linalg.solve(inner, wanted.T).T
    new = exact.clone()
    new[:, columns] = fitted
    if bias is not None:
        shift = exact @ mean - fitted @ mean[columns]
        layer._parameters["bias"] = nn.Parameter(
            (bias.detach().double() + shift).to(bias.dtype), requires_grad=bias.requires_grad
        )
    new = new.to(weight.dtype)
    layer._parameters["weight"] = nn.Parameter(
        (new.T if is_transposed(layer) else new).contiguous(),
        requires_grad=weight.requires_grad,
    )
