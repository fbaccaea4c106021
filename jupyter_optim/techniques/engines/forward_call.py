"""What a module's `forward` gets and returns in a workload."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from jupyter_optim import tree
from jupyter_optim.errors import NotApplicable
from jupyter_optim.techniques.engines.flat import FlatCall
from jupyter_optim.workload import Workload


@dataclass(frozen=True, slots=True)
class ForwardCall:
    """One call of a module's `forward`, behind the module's own hooks."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any
    path: str = ""
    """Where the module stands in the model."""
    calibration: tuple[list[Any], ...] = ()
    """Tensors of other calls, which the user gave for fixed scales."""

    @classmethod
    def of(cls, root: nn.Module, workload: Workload, path: str = "") -> ForwardCall:
        """The first call of a part of `root` in `workload`, with `root` in the model's place.

        Raises:
            NotApplicable: there is none.
        """
        module, found = root.get_submodule(path), list[ForwardCall]()
        original: Callable[..., Any] = type(module).forward

        def noted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            given, named = tree.clone((args, kwargs))
            outputs = original(self, *args, **kwargs)
            if not found:
                copied = tree.map_tensors(outputs, lambda tensor: tensor.detach().clone())
                found.append(cls(module, given, named, copied, path))
            return outputs

        module.__dict__["forward"] = types.MethodType(noted, module)
        try:
            workload.outputs(root)
        finally:
            module.__dict__.pop("forward", None)
        if not found:
            raise NotApplicable("Its forward is not called in the workload.")
        return found[0]

    @property
    def flat(self) -> FlatCall:
        """The same call with tensors only."""
        return FlatCall(self.module, self.args, self.kwargs)

    @property
    def tensors(self) -> list[Any]:
        """The tensors among the inputs, in order."""
        return tree.tensors((self.args, self.kwargs))

    @property
    def samples(self) -> list[list[Any]]:
        """Tensors of the calls that fixed scales are found on: the calibration's, or else those of this call."""
        return list(self.calibration) or [self.tensors]
