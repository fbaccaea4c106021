"""Kernels that `torch.compile` wrote: what they were made from, and whose weights they read.

All is told by the code that inductor generated, which lives as long as the compiled model does. A kernel's name lists
its ops; the arguments of its calls tell which of the graph's inputs it reads, and the compiler's log names these.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from jupyter_optim.compiled_call import frame_of
from jupyter_optim.profiling.compiled.records import Compilation

_DEFINED = re.compile(r"^(\w+) = async_compile\.(\w+)\(", re.MULTILINE)
_NAME = re.compile(r"(?:^|_)fused_(\w+?)_(\d+)$")
_UNPACKED = re.compile(r"^\s+([\w, ]+?),? = args$", re.MULTILINE)
_SHAPE = re.compile(r"assert_size_stride\((\w+), \(([^)]*)\)")
_OWNED = re.compile(r"_(modules|parameters|buffers)_")


@dataclass(frozen=True, slots=True)
class KernelSource:
    """One kernel of a generated file, with the graph's inputs that it is given."""

    name: str
    calls: int
    reads: frozenset[str]
    """Names of inputs, as in the generated code."""


@dataclass(frozen=True)
class GraphSource:
    """The generated code of one graph."""

    text: str

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs in the generated code, in order; sizes that may vary are left out."""
        found = _UNPACKED.search(self.text)
        names = [name.strip() for name in found[1].split(",")] if found else []
        sizes = {name for name in names if re.search(rf"^\s+s\d+ = {name}$", self.text, re.MULTILINE)}
        return tuple(name for name in names if name and name not in sizes)

    @cached_property
    def shapes(self) -> dict[str, tuple[str, ...]]:
        """Sizes of the inputs that the code checks."""
        return {name: tuple(_sizes(text)) for name, text in _SHAPE.findall(self.text)}

    def kernels(self) -> Iterator[KernelSource]:
        """Those that the compiler wrote; calls of libraries are not among them."""
        inputs = set(self.inputs)
        for name, _ in _DEFINED.findall(self.text):
            calls = re.findall(rf"^\s+{name}(?:\.run)?\((.*)\)$", self.text, re.MULTILINE)
            given = {word for call in calls for word in re.findall(r"\w+", call)}
            yield KernelSource(name, len(calls), frozenset(given & inputs))


def _sizes(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def sources(keys: set[str]) -> dict[str, GraphSource]:
    """The generated code of graphs, by the keys that traces name them by; those that are not found are left out."""
    module = sys.modules.get("torch._inductor.output_code")
    kind = getattr(module, "CompiledFxGraph", None)
    if kind is None or not keys:
        return {}
    found = {}
    # nothing else leads from a trace to its graphs: they are held by closures of compiled code
    for each in gc.get_objects():
        if type(each) is kind:
            key, text = getattr(each, "_fx_graph_cache_key", None), getattr(each, "source_code", None)
            if key in keys and text:
                found[key] = GraphSource(text)
    return found


@dataclass(frozen=True)
class Owners:
    """Which module of a model owns a graph's input."""

    model: nn.Module
    names: dict[str, list[str]] = field(init=False)
    """By the name that the compiler makes of a tensor's path: paths of the modules that own it."""

    def __post_init__(self) -> None:
        names: dict[str, list[str]] = {}
        for path, module in self.model.named_modules():
            for kind, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
                for name in tensors:
                    names.setdefault(_mangled(path, kind, name), []).append(plain_path(path))
        object.__setattr__(self, "names", names)

    def of(self, compilation: Compilation, source: GraphSource) -> dict[str, tuple[str, ...]]:
        """By the name of an input in the generated code: paths of the modules that it may belong to.

        Empty where the log's inputs are not those of the code: a backward pass has others, and so has a graph whose
        weights were frozen into it.
        """
        names = source.inputs
        found = compilation.inputs()[: len(names)]
        sizes = (compilation.input_count or 0) - len(names)
        if len(found) < len(names) or not 0 <= sizes <= len(names):
            return {}
        owners = {}
        for name, (logged, shape) in zip(names, found, strict=True):
            checked = source.shapes.get(name)
            if checked is not None and len(checked) != len(shape):
                return {}
            if checked is not None and any(a.isdigit() and str(b).isdigit() and a != str(b)
                                           for a, b in zip(checked, shape, strict=True)):  # fmt: skip
                return {}
            owners[name] = self._owners(logged, compilation)
        return owners

    def _compiled(self) -> list[tuple[str, nn.Module]]:
        """The modules whose calls are compiled; all, where a function is compiled that calls them."""
        tops = compiled_modules(self.model)
        within = tuple(f"{path}." for path in tops)
        return [
            (path, module) for path, module in self.model.named_modules()
            if not tops or "" in tops or path in tops or path.startswith(within)
        ]  # fmt: skip

    def _owners(self, logged: str, compilation: Compilation) -> tuple[str, ...]:
        """Paths of the modules that own what the log calls ``l_self_modules_fc_parameters_weight_``."""
        start = _OWNED.search(f"_{logged}")
        if start is None:
            return ()
        tail = _simplified(f"_{logged}"[start.start() :])
        roots = [path for path, module in self._compiled() if code_of(module) == compilation.code]
        if roots:
            wanted = {_simplified(_mangled(path, "", "")) + tail for path in roots}
            found = [path for name, paths in self.names.items() if name in wanted for path in paths]
        else:
            found = [path for name, paths in self.names.items() if name.endswith(tail) for path in paths]
        return tuple(dict.fromkeys(found))


def compiled_modules(model: nn.Module) -> list[str]:
    """Paths of the modules that were given to `torch.compile` themselves."""
    wrapper = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", ())
    return [
        path for path, module in model.named_modules()
        if isinstance(module, wrapper) or getattr(module, "_compiled_call_impl", None) is not None
    ]  # fmt: skip


def code_of(module: nn.Module) -> tuple[str, int] | None:
    """File and first line of a module's forward, or of what was compiled in its place, as the compiler's log has them."""
    framed = frame_of(module)
    if framed is not None:
        return framed
    forward = getattr(type(module), "forward", None)
    code = getattr(forward, "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno)


def plain_path(path: str) -> str:
    """The path by which a module is reached: that of `torch.compile`'s wrapper can be left out."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def _mangled(path: str, kind: str, name: str) -> str:
    """What the compiler makes of ``self.fc.weight``: ``_modules_fc_parameters_weight_``, in small letters."""
    parts = [f"_modules_{part}" for part in path.split(".") if part and part != "_orig_mod"]
    return _simplified("".join(parts) + (f"_{kind}_{name}_" if kind else ""))


def _simplified(text: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"\W", "_", text)).lower()


def ops_of(kernel: str) -> tuple[str, ...]:
    """Ops in a kernel's name: ``cpp_fused__softmax_add_0`` is made of `_softmax` and `add`."""
    found = _NAME.search(kernel)
    return tuple(_split(found[1], _aten_ops())) if found else ()


def _aten_ops() -> frozenset[str]:
    names: list[str] = getattr(torch._C, "_dispatch_get_all_op_names", list)()
    return frozenset(
        name.removeprefix("aten::").partition(".")[0] for name in names if name.startswith("aten::")
    )


def _split(text: str, known: frozenset[str]) -> list[str]:
    """`text` cut at underscores into known names, the longest first; what is not known stays together."""
    found: list[str] = []
    rest = text
    while rest:
        ends = [at for at in range(len(rest), 0, -1) if at == len(rest) or rest[at] == "_"]
        size = next((at for at in ends if rest[:at] in known), ends[-1])
        found.append(rest[:size])
        rest = rest[size + 1 :]
    return found
