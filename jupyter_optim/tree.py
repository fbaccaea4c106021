"""Nested inputs and outputs: walk them, and rebuild them with other tensors.

Models take and return tuples, named tuples, dicts, dataclasses, packed sequences and Hugging Face's
`ModelOutput`. `torch.utils._pytree` needs each class registered and is private; these two functions take
any of them as it comes, and give back the very same types.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch

TensorMap = Callable[[torch.Tensor], torch.Tensor]


def map_tensors(value: Any, change: TensorMap) -> Any:
    """`value` with each tensor replaced by ``change(tensor)``; containers are rebuilt, not written to.

    What is no container is returned as it is.
    """
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple):
        items = [map_tensors(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else _same_type(value, tuple(items))
    if isinstance(value, list):
        return _same_type(value, [map_tensors(item, change) for item in value])
    if isinstance(value, Mapping):
        return _map_mapping(value, change)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _map_dataclass(value, change)
    return value


def _same_type(original: Any, items: Any) -> Any:
    """`items` in the type of `original`, which may be a subclass with its own constructor."""
    kind = type(original)
    return items if kind in (tuple, list) else kind(items)


def _map_mapping(value: Mapping[Any, Any], change: TensorMap) -> Any:
    changed = {key: map_tensors(item, change) for key, item in value.items()}
    if type(value) is dict:
        return changed
    if isinstance(value, MutableMapping):
        # A shallow copy keeps what else the subclass holds (ModelOutput's fields, BatchEncoding's encodings).
        # ModelOutput's items are attributes too, and its own __setitem__ keeps the two in step.
        rebuilt = copy.copy(value)
        if isinstance(rebuilt, UserDict):
            rebuilt.data = dict(rebuilt.data)
        for key, item in changed.items():
            rebuilt[key] = item
        return rebuilt
    return type(value)(changed)  # type: ignore[call-arg]


def _map_dataclass(value: Any, change: TensorMap) -> Any:
    rebuilt = copy.copy(value)
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            # frozen dataclasses refuse plain assignment
            object.__setattr__(rebuilt, field.name, map_tensors(getattr(value, field.name), change))
    return rebuilt


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of `value` with where it sits: ``[0].mask``."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field in value._fields:
            yield from leaves(getattr(value, field), f"{name}.{field}" if name else field)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else str(key))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if hasattr(value, field.name):
                inner = getattr(value, field.name)
                yield from leaves(inner, f"{name}.{field.name}" if name else field.name)
    else:
        yield name, value


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in `value`, in order."""
    return [leaf for _, leaf in leaves(value) if isinstance(leaf, torch.Tensor)]


def held_tensors(value: Any, depth: int = 3) -> list[torch.Tensor]:
    """Tensors in the attributes of an object that is no container: a distribution, a key-value cache."""
    found = []
    for held in getattr(value, "__dict__", {}).values() if depth else ():
        inner = tensors(held)
        found += inner
        if not inner:
            items = held if isinstance(held, list | tuple) else [held]
            found += [tensor for item in items for tensor in held_tensors(item, depth - 1)]
    return found


def is_plain(value: Any) -> bool:
    """Whether every leaf of `value` is a tensor or an immutable value, so that a copy can be made of it."""
    immutable = (
        torch.Tensor,
        str,
        bytes,
        int,
        float,
        complex,
        bool,
        type(None),
        torch.dtype,
        torch.device,
        torch.Size,
    )
    return all(isinstance(leaf, (*immutable, type)) or callable(leaf) for _, leaf in leaves(value))


def clone(value: Any) -> Any:
    """A copy of `value` that shares no memory with it; tensors keep `requires_grad` but no graph.

    Parameters stay what they are: they belong to a model, not to its inputs. What is neither tensor nor
    container (a key-value cache, say) is copied whole where Python can copy it, and shared otherwise.
    """
    if not is_plain(value):
        return _clone_objects(value)
    return map_tensors(value, clone_tensor)


def clone_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` with its own memory, the same strides where it has any, and no graph."""
    if isinstance(tensor, torch.nn.Parameter):
        return tensor
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _clone_objects(value: Any) -> Any:
    # deepcopy refuses tensors that carry a graph: give it copies of those beforehand
    memo: dict[int, Any] = {id(each): clone_tensor(each) for each in tensors(value)}
    try:
        return copy.deepcopy(value, memo)
    except (TypeError, RuntimeError, ValueError, NotImplementedError):
        return map_tensors(value, clone_tensor)
