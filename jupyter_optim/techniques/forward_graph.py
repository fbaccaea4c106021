"""The forward of one module as a graph of its calls (torch.fx), and as source again."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import fx, nn

from jupyter_optim import tree

_FACTORIES = ("arange", "ones", "zeros", "full", "empty")
"""Functions that torch.fx does not follow where their sizes are those of an input."""

_SIMPLE = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class ForwardCall:
    """One call of a module's forward, as it came."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    """What the forward calls its positional inputs."""

    @classmethod
    def of(cls, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ForwardCall:
        """A call of `module`."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = [*inspect.signature(type(module).forward).parameters.values()][1:]
        names = [each.name for each in parameters if each.kind in kinds]
        names += [f"arg{i}" for i in range(len(names), len(args))]
        return cls(args, kwargs, tuple(names[: len(args)]))

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors among its inputs, by the names that the graph has for them."""
        return {name: value for name, value in self._named() if isinstance(value, torch.Tensor)}

    @property
    def obstacle(self) -> str | None:
        """Why the graph of this call could not be used for another one like it, or None."""
        for _, value in self._named():
            if not isinstance(value, (*_SIMPLE, torch.Tensor)):
                return f"it is given a {type(value).__name__}"
        return None

    def condition(self) -> str:
        """Source that is true where ``args`` and ``kwargs`` are like these: the same non-tensors, tensors elsewhere."""
        names = "{" + ", ".join(map(repr, self.kwargs)) + "}"
        parts = [
            f"len(args) == {len(self.args)}",
            f"kwargs.keys() == {names}" if self.kwargs else "not kwargs",
        ]
        places = [(f"args[{i}]", value) for i, value in enumerate(self.args)]
        places += [(f"kwargs[{name!r}]", value) for name, value in self.kwargs.items()]
        for place, value in places:
            if isinstance(value, torch.Tensor):
                parts.append(f"isinstance({place}, torch.Tensor) and {place}.dim() == {value.dim()}")
            elif value is None or isinstance(value, bool):
                parts.append(f"{place} is {value}")
            else:
                parts.append(f"{place} == {value!r}")
        return "\n        and ".join(parts)

    def passed_on(self) -> str:
        """Source of the tensors of such a call, as arguments."""
        own = [f"args[{i}]" for i, value in enumerate(self.args) if isinstance(value, torch.Tensor)]
        own += [f"kwargs[{n!r}]" for n, value in self.kwargs.items() if isinstance(value, torch.Tensor)]
        return ", ".join(own)

    def rebuilt(self, tensors: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs with these in the places of the tensors."""
        left = iter(tensors)
        args = tuple(next(left) if isinstance(each, torch.Tensor) else each for each in self.args)
        return args, {n: next(left) if isinstance(v, torch.Tensor) else v for n, v in self.kwargs.items()}

    def _named(self) -> list[tuple[str, Any]]:
        return [*zip(self.names, self.args, strict=True), *self.kwargs.items()]


class _Tracer(fx.Tracer):
    """Follows the code of one module; what it calls stays a call. Other threads notice nothing."""

    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Every module within is."""
        return True

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """As its parent; torch.fx patches `nn.Module.__call__` of the whole process meanwhile."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """As its parent; the same holds for `nn.Module.__getattr__`."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    @contextmanager
    def factories(self) -> Iterator[None]:
        """Within, ``torch.ones(steps, steps)`` is followed where `steps` is the size of an input."""
        with ExitStack() as stack:
            for name in _FACTORIES:
                stack.enter_context(mock.patch.object(torch, name, self._followed(getattr(torch, name))))
            yield

    def _followed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not any(isinstance(leaf, fx.Proxy) for _, leaf in tree.leaves((args, kwargs))):
                return function(*args, **kwargs)
            return self.create_proxy("call_function", function, args, kwargs)

        return call


class Untraceable(Exception):
    """Why there is no graph of a forward; caught where the layer is passed over."""


def forward_graph(module: nn.Module, call: ForwardCall) -> fx.Graph:
    """What the forward of `module` does at a call like `call`, with the tensors of that call as inputs.

    Raises:
        Untraceable: its path depends on the values of tensors, or it keeps something in its attributes.
    """
    original = type(module).forward
    names = list(call.tensors)

    def forward(self: nn.Module, *tensors: Any) -> Any:
        args, kwargs = call.rebuilt(tensors)
        return original(self, *args, **kwargs)

    code = f"def forward(self, {', '.join(names)}):\n    return inner(self, {', '.join(names)})\n"
    scope: dict[str, Any] = {"inner": forward}
    exec(code, scope)  # noqa: S102 (torch.fx asks the code object itself for the names of its inputs)
    kind = type(type(module).__name__, (type(module),), {"forward": scope["forward"]})
    shell: nn.Module = object.__new__(kind)
    attributes = dict(module.__dict__)
    object.__setattr__(shell, "__dict__", attributes)
    before = dict(attributes)
    tracer = _Tracer()
    try:
        with tracer.factories():
            graph = tracer.trace(shell)
    except (
        Exception
    ) as error:  # the user's forward under torch.fx raises what it likes: it is told, word for word
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise Untraceable(f"torch.fx cannot follow it ({type(error).__name__}: {first})") from error
    kept = [name for name in attributes if name not in before or attributes[name] is not before[name]]
    if kept:
        raise Untraceable(f"it keeps values in its attributes ({', '.join(kept)})")
    return graph


class _Values(fx.Interpreter):
    """Notes at each node what is known of its value."""

    def run_node(self, n: fx.Node) -> Any:
        """As its parent."""
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"], n.meta["dtype"] = tuple(result.shape), result.dtype
        if isinstance(result, int | float) or (isinstance(result, torch.Tensor) and result.dim() == 0):
            n.meta["number"] = float(result)
        return result


def note_values(module: nn.Module, graph: fx.Graph, call: ForwardCall) -> Any:
    """Run `graph` as the forward of `module`; each node's `meta` gets ``shape``, ``dtype`` and ``number``.

    Returns:
        What it returned.
    """
    return _Values(module, graph=graph).run(*call.tensors.values())


def source_of(graph: fx.Graph, name: str) -> str:
    """A Python function called `name` that does what `graph` does; its first parameter is the module."""
    python = graph.python_code("self")
    # marks for torch.fx that the code itself has no need of
    lines = [line for line in python.src.splitlines() if not line.startswith("torch.fx.")]
    body = "\n".join(lines).strip().replace("def forward(self", f"def {name}(self", 1)
    # its public name
    body = body.replace(
        "torch._C._nn.scaled_dot_product_attention", "torch.nn.functional.scaled_dot_product_attention"
    )
    imports = ["import torch"]
    for given, value in python.globals.items():
        module, own = getattr(value, "__module__", None), getattr(value, "__name__", None)
        if not re.search(rf"(?<!\.)\b{given}\b(?! =)", body) or (
            module in (None, "builtins") and not isinstance(value, float)
        ):
            continue
        if isinstance(value, float):
            imports.append(f"from math import {given}")
        else:
            imports.append(f"from {module} import {own}" + ("" if own == given else f" as {given}"))
    return "\n".join(imports) + f"\n\n{body}\n"
