"""What a model holds as plain tensors by name, packed weights too: out of one model, into another of its structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jupyter_optim.errors import InvalidRecipe, UnsupportedModel
from jupyter_optim.techniques.int8_layers import Int8Linear, kernels_of
from jupyter_optim.techniques.static_layers import StaticInt8

_RNN_CELL = "quantized_dynamic"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a model, or one that is packed in it."""

    name: str
    tensor: torch.Tensor
    write: Callable[[torch.Tensor], None]
    optional: bool = False
    """It belongs to no `state_dict`, and the class makes it anew."""


def contents(model: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors by name, as `put_in` takes them; those that are one stand under each of their names.

    Raises:
        UnsupportedModel: the model holds what is no tensor, and so cannot be saved without pickle.
    """
    return {entry.name: entry.tensor for entry in _entries(model)}


def put_in(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Write `saved` into the tensors of `model`, whose structure must be the same.

    Raises:
        InvalidRecipe: the names, shapes or types differ, or two names of one tensor differ in their contents.
    """
    left = set(saved)
    done: dict[int, tuple[Entry, torch.Tensor]] = {}  # the entries too: an id lasts as long as its object
    for entry in _entries(model):
        found = saved.get(entry.name)
        if found is None:
            if entry.optional:
                continue
            raise InvalidRecipe(f"The file has no weights for `{entry.name}`.")
        left.discard(entry.name)
        if found.shape != entry.tensor.shape or found.dtype != entry.tensor.dtype:
            if entry.optional:
                continue
            raise InvalidRecipe(
                f"`{entry.name}` is {_kind(entry.tensor)} in this model, and {_kind(found)} in the file."
            )
        before = done.setdefault(id(entry.tensor), (entry, found))
        if before[1] is not found and not torch.equal(before[1], found):
            raise InvalidRecipe(
                f"`{before[0].name}` and `{entry.name}` are one tensor in this model, and two in the saved one."
            )
        entry.write(found)
    if left:
        raise InvalidRecipe(f"The file has weights that this model has no place for: `{min(left)}`.")


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _entries(model: nn.Module) -> Iterator[Entry]:
    for path, module in model.named_modules(remove_duplicate=True):
        prefix = f"{path}." if path else ""
        if isinstance(module, Int8Linear | StaticInt8):
            yield from _of_int8_layer(prefix, module)
        elif _cell(module) is not None:
            yield from _of_rnn(prefix, module)
        elif type(module).get_extra_state is not nn.Module.get_extra_state:
            raise UnsupportedModel(
                f"`{path or type(module).__name__}` keeps state that is no tensor, which cannot be saved without pickle."
            )
        for name, tensor in module._parameters.items():
            if tensor is not None:
                yield from _of_tensor(prefix + name, tensor)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield from _of_tensor(
                    prefix + name, buffer, optional=name in module._non_persistent_buffers_set
                )


def _of_tensor(name: str, tensor: torch.Tensor, *, optional: bool = False) -> Iterator[Entry]:
    if hasattr(tensor, "__tensor_flatten__"):  # torchao's: plain tensors within
        for inner in tensor.__tensor_flatten__()[0]:
            yield from _of_tensor(f"{name}::{inner}", getattr(tensor, inner), optional=optional)
        return
    if tensor.is_meta:
        raise UnsupportedModel(
            f"`{name}` is on the meta device: give it memory first, by `model.to_empty(device=...)`."
        )
    if tensor.is_quantized or tensor.is_sparse or tensor.layout is not torch.strided:
        raise UnsupportedModel(
            f"`{name}` is a quantized or sparse tensor, which safetensors files cannot hold."
        )

    def write(value: torch.Tensor) -> None:
        with torch.no_grad():
            tensor.copy_(value)

    yield Entry(name, tensor, write, optional)


def _of_int8_layer(prefix: str, module: Int8Linear | StaticInt8) -> Iterator[Entry]:
    weight, bias = module.unpacked()
    parts = {"int8": weight.int_repr(), "scales": weight.q_per_channel_scales()}
    if bias is not None:
        parts["bias"] = bias.detach()
    got: dict[str, torch.Tensor] = {}

    def write_as(key: str) -> Callable[[torch.Tensor], None]:
        def write(value: torch.Tensor) -> None:
            got[key] = value
            if len(got) == len(parts):
                module.pack(got["int8"], got["scales"], got.get("bias"))

        return write

    for key, tensor in parts.items():
        yield Entry(f"{prefix}packed::{key}", tensor, write_as(key))


def _cell(module: nn.Module) -> tuple[Any, ...] | None:
    """The packed contents of one cell of torch.ao's dynamic LSTM or GRU, or None for any other module."""
    if type(module).__name__ != "PackedParameter" or not isinstance(
        getattr(module, "param", None), torch.ScriptObject
    ):
        return None
    packed: Any = module.param
    state: tuple[Any, ...] = packed.__getstate__()[0]
    return state if state[0] == _RNN_CELL else None


def _of_rnn(prefix: str, module: nn.Module) -> Iterator[Entry]:
    state = _cell(module)
    assert state is not None  # the caller has looked
    weights = [torch.ops.quantized.linear_unpack(packed)[0] for packed in state[4]]
    parts = {f"int8_{n}": weight.int_repr() for n, weight in enumerate(weights)}
    # one scale and zero point for a whole matrix: float64 holds both
    parts |= {
        f"scale_{n}": torch.tensor([w.q_scale(), w.q_zero_point()], dtype=torch.float64)
        for n, w in enumerate(weights)
    }
    parts |= {f"bias_{n}": bias.detach() for n, bias in enumerate(state[1])}
    got: dict[str, torch.Tensor] = {}

    def write_as(key: str) -> Callable[[torch.Tensor], None]:
        def write(value: torch.Tensor) -> None:
            got[key] = value
            if len(got) == len(parts):
                module.param = _packed_cell(got, reduce_range=bool(state[3][0]))

        return write

    for key, tensor in parts.items():
        yield Entry(f"{prefix}packed::{key}", tensor, write_as(key))


def _packed_cell(parts: dict[str, torch.Tensor], *, reduce_range: bool) -> Any:
    packed = []
    with kernels_of(torch.backends.quantized.engine):
        for n in (0, 1):
            scale, zero = parts[f"scale_{n}"].tolist()
            weight = torch._make_per_tensor_quantized_tensor(parts[f"int8_{n}"], scale, int(zero))  # noqa: SLF001 (no public way)
            packed.append(torch.ops.quantized.linear_prepack(weight, parts[f"bias_{n}"]))
    return torch.ops.quantized.make_quantized_cell_params_dynamic(
        packed[0], packed[1], parts["bias_0"], parts["bias_1"], reduce_range
    )
