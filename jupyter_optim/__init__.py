"""Measure the PyTorch model that a notebook cell calls, see what costs the time, and change it in place.

>>> import jupyter_optim as jo
>>> session = jo.optimize(model, inputs)  # doctest: +SKIP
>>> session.apply("int8-dynamic")  # doctest: +SKIP

In a notebook: ``%load_ext jupyter_optim``, then ``%%optimize`` over a cell.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_optim.analysis.compare import Comparison, compare
    from jupyter_optim.analysis.traces import open_trace
    from jupyter_optim.errors import (
        Busy,
        Cancelled,
        EvaluateFailed,
        ExportFailed,
        InvalidInputs,
        InvalidModel,
        InvalidOption,
        InvalidRecipe,
        InvalidReport,
        MissingExtra,
        NoModelCalled,
        NotApplicable,
        OptimError,
        TrainFailed,
        UnknownTechnique,
        UnsupportedModel,
    )
    from jupyter_optim.report import Report
    from jupyter_optim.session import current, load, optimize
    from jupyter_optim.techniques.registry import techniques

    __version__: str

__all__ = [
    "Busy",
    "Cancelled",
    "Comparison",
    "EvaluateFailed",
    "ExportFailed",
    "InvalidInputs",
    "InvalidModel",
    "InvalidOption",
    "InvalidRecipe",
    "InvalidReport",
    "MissingExtra",
    "NoModelCalled",
    "NotApplicable",
    "OptimError",
    "Report",
    "TrainFailed",
    "UnknownTechnique",
    "UnsupportedModel",
    "__version__",
    "compare",
    "current",
    "load",
    "open_trace",
    "optimize",
    "techniques",
]

_HOMES = {
    "Comparison": "analysis.compare",
    "Report": "report",
    "compare": "analysis.compare",
    "current": "session",
    "load": "session",
    "open_trace": "analysis.traces",
    "optimize": "session",
}
"""Where the public names live, other than the errors."""


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and `%load_ext` has to be instant
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 (takes longer than this whole module)

        value: Any = version("jupyter-optim")
    elif name == "techniques":
        value = importlib.import_module("jupyter_optim.techniques")
    else:
        value = getattr(importlib.import_module(f"jupyter_optim.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%%optimize`` and ``%optimize``; called by ``%load_ext jupyter_optim``."""
    from jupyter_optim.notebook import magic  # noqa: PLC0415 (a script has no use for IPython)

    magic.load_ipython_extension(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics back; called by ``%unload_ext jupyter_optim``."""
    from jupyter_optim.notebook import magic  # noqa: PLC0415 (a script has no use for IPython)

    magic.unload_ipython_extension(ipython)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyter-optim"}]


class _Techniques(ModuleType):
    """The subpackage `jupyter_optim.techniques`, which is also the public function of that name."""

    def __call__(self) -> Any:
        return importlib.import_module("jupyter_optim.techniques.registry").techniques()


class _Package(ModuleType):
    """This package: importing `jupyter_optim.techniques` binds that module where users call `techniques()`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "techniques" and type(value) is ModuleType:
            value.__class__ = _Techniques
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
