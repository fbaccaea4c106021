"""What a report calls the modules and lines of a trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn

from jupyter_optim.profiling.trace.columns import FOREIGN_MODULE, LINE_RANGE


@dataclass(frozen=True, slots=True)
class ModuleLabel:
    """What a report says of a module, whatever the trace holds."""

    path: str
    class_name: str
    params: int = 0
    bytes: int | None = None
    multiply_adds: Callable[[Sequence[int]], int] | None = None
    """Of a layer with packed weights, which a trace tells no shape of: its multiplications for inputs of some shape."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the numbers of a trace's ranges stand for; None for what is not to be told of."""

    modules: Sequence[ModuleLabel | None]
    lines: Sequence[str | None] = field(default=())

    @classmethod
    def of(cls, modules: Sequence[nn.Module], root: nn.Module, lines: Sequence[str | None] = ()) -> Labels:
        """Labels of live modules: by their paths in `root`, its first name for a shared one."""
        paths = {id(module): path for path, module in root.named_modules()}
        found = [_label(module, paths.get(id(module))) for module in modules]
        return cls(found, lines)

    def name_of(self, text: str) -> str:
        """What a range of ours, ``jo:module:3``, is called in a trace file that others read."""
        number = int(text.rpartition(":")[2])
        if text.startswith(LINE_RANGE):
            return f"line: {self.lines[number] if number < len(self.lines) else 'unknown'}"
        label = self.modules[number] if number < len(self.modules) else None
        return text if label is None else f"{FOREIGN_MODULE}{label.path or 'model'} ({label.class_name})"

    def path(self, number: int) -> str | None:
        """The path of module `number`, or None."""
        label = self.modules[number] if 0 <= number < len(self.modules) else None
        return None if label is None else label.path

    def paths(self) -> list[str | None]:
        """The paths of all modules, by their numbers."""
        return [self.path(number) for number in range(len(self.modules))]

    def line(self, number: int) -> str | None:
        """The name of line `number`, or None."""
        return self.lines[number] if 0 <= number < len(self.lines) else None


def _label(module: nn.Module, path: str | None) -> ModuleLabel | None:
    if path is None:
        return None
    params = sum(p.numel() for p in module.parameters(recurse=False))
    return ModuleLabel(path, type(module).__name__, params, _own_bytes(module), _multiply_adds(module))


def _multiply_adds(module: nn.Module) -> Callable[[Sequence[int]], int] | None:
    own: Callable[[Sequence[int]], int] | None = getattr(module, "multiply_adds", None)
    if callable(own):
        return own
    width = getattr(module, "out_features", None)
    return (lambda shape: math.prod(shape) * width) if isinstance(width, int) else None


def _own_bytes(module: nn.Module) -> int:
    """Bytes of the module's own parameters and buffers, without its children's."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return sum(tensor.numel() * tensor.element_size() for tensor in own)
