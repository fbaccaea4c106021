"""Inputs that the user gave for fixed scales to be found on, as calls of the model."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import InvalidInputs, InvalidOption, OptimError
from jupyter_optim.guard import rng_kept
from jupyter_optim.progress import Progress
from jupyter_optim.workload import Workload, as_call, signature_text

MOST_INPUTS = 128
"""Batches that are read; what an iterable has beyond them is left alone. NNCF's own default is 300 samples."""

MOST_BYTES = 128 << 20
"""Bytes of tensors after which no more is read: 220 colour images of 224 x 224, say."""

_Call = tuple[tuple[Any, ...], dict[str, Any]]


class Calibration:
    """Inputs like those to come. The iterable is read once, as far as need be, when a technique first asks for them.

    Each input is a tensor, a tuple or list of positional inputs, or a mapping of keyword inputs, as the call that is
    measured has them: what that has no place for (a DataLoader's labels) is left out, and what is no tensor and is
    missing is as in that call.

    Args:
        given: an iterable of inputs.
        like: the call that is measured.

    Raises:
        InvalidOption: `given` is nothing of the kind.
        InvalidInputs: it has no inputs, or the first one is not like the call's.
    """

    def __init__(self, given: Iterable[Any], like: Workload) -> None:
        self._like, self._slots = like, _slots(like)
        self._read: list[_Call] = []
        self._bytes = 0
        self._failure: OptimError | None = None
        # a DataLoader draws a seed when it begins
        with rng_kept():
            left = _iterator(given)
            self._left: Iterator[Any] | None = left if self._took(left) else None
        if not self._read:
            raise InvalidInputs("calibration has no inputs; an iterator may have been used up before.")

    def workloads(self, workload: Workload, progress: Progress) -> list[Workload]:
        """Each of the inputs in the place of those of `workload`, which is another measurement of the same call.

        Raises:
            InvalidInputs: an input is not like the call's, or to read it raised.
            Cancelled: the user asked for that; the next call goes on reading.
        """
        if self._failure is not None:
            raise self._failure
        left = self._left
        while left is not None:
            progress.report(
                f"Reading the calibration inputs: {len(self._read)}", len(self._read) / MOST_INPUTS
            )
            full = len(self._read) >= MOST_INPUTS or self._bytes >= MOST_BYTES
            try:
                if full or not self._took(left):
                    left = self._left = None
            except InvalidInputs as error:
                self._failure = error
                raise
        return [
            replace(workload, args=args, kwargs=kwargs, evaluate_expression=None)
            for args, kwargs in self._read
        ]

    def _took(self, left: Iterator[Any]) -> bool:
        number = len(self._read) + 1
        try:
            item = next(left)
        except StopIteration:
            return False
        except Exception as error:
            raise InvalidInputs(
                f"calibration raised {type(error).__name__} at input {number}: {error}"
            ) from error
        # what is given next may come in the same memory
        call: _Call = tree.clone(_as_like(item, self._like, self._slots, number))
        self._read.append(call)
        self._bytes += sum(tensor.numel() * tensor.element_size() for tensor in tree.tensors(call))
        return True


def _iterator(given: Iterable[Any]) -> Iterator[Any]:
    if isinstance(given, str | bytes | Mapping | torch.Tensor):
        raise InvalidOption(
            f"calibration must hold inputs, and this is one {type(given).__name__}: give [inputs]."
        )
    try:
        return iter(given)
    except TypeError:
        raise InvalidOption(
            "calibration must be an iterable of inputs, such as a list of batches or a DataLoader, and this is "
            f"{type(given).__name__}."
        ) from None


def _slots(like: Workload) -> dict[str, Any]:
    """What the call gave, by the name that `forward` has for it, in the order in which `forward` takes it."""
    names = _parameters(like.model)
    positional = [*names, *(str(number) for number in range(len(names), len(like.args)))][: len(like.args)]
    given = {**dict(zip(positional, like.args, strict=True)), **like.kwargs}
    return {name: given[name] for name in [*positional, *sorted(like.kwargs, key=_order(names))]}


def _order(names: list[str]) -> Any:
    return lambda name: names.index(name) if name in names else len(names)


def _parameters(model: nn.Module) -> list[str]:
    """Names of the parameters of `forward` that may be given by position, as far as it tells."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]


def _as_like(item: Any, like: Workload, slots: Mapping[str, Any], number: int) -> _Call:
    """An input as positional and keyword inputs, where `like` has them."""
    first = next(iter(slots.values()), None)
    whole = any(isinstance(item, kind) and isinstance(first, kind) for kind in (list, Mapping))
    args, named = as_call((item,) if whole else tuple(item) if isinstance(item, list) else item)
    # labels come last, where the call has a flag, or nothing
    pairs = zip(slots.items(), args, strict=False)
    alike = itertools.takewhile(lambda pair: _holds_tensors(pair[0][1]) == _holds_tensors(pair[1]), pairs)
    given = named or {name: value for (name, _), value in alike}
    found = {}
    for name, usual in slots.items():
        if name not in given and (tree.tensors(usual) or not tree.is_plain(usual)):
            raise InvalidInputs(f"calibration input {number} has no {name}, which the model was called with.")
        found[name] = given.get(name, usual)
    names = [name for name in slots if name not in like.kwargs]
    call = tuple(found[name] for name in names), {name: found[name] for name in like.kwargs}
    if _kinds(call) != _kinds((like.args, like.kwargs)):
        raise InvalidInputs(
            f"calibration input {number} is ({signature_text(*call)}), and the model was called with "
            f"({signature_text(like.args, like.kwargs)}): give whole batches, of the same types."
        )
    return call


def _holds_tensors(value: Any) -> bool:
    return bool(tree.tensors(value))


def _kinds(call: _Call) -> list[tuple[str, Any, int]]:
    """Of each tensor of a call: where it is, its type, and how many dimensions it has."""
    return [
        (name, leaf.dtype, leaf.dim()) for name, leaf in tree.leaves(call) if isinstance(leaf, torch.Tensor)
    ]
