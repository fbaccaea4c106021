"""What can go wrong, in the user's words.

Every error that this package raises on purpose derives from `OptimError`; its message says what happened
and what to do about it, and is shown as one sentence without a traceback by the notebook's face.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OptimError(Exception):
    """Base of all errors of jupyter_optim."""


class InvalidModel(OptimError):
    """What was given as the model is none."""


class InvalidInputs(OptimError):
    """The inputs do not fit the model, or are of a kind that cannot be passed on."""


class InvalidOption(OptimError):
    """An option is unknown, or its value is out of range."""


class InvalidReport(OptimError):
    """A text that should be a report is none, or one of another version."""


class NoModelCalled(OptimError):
    """The code ran, but called no `torch.nn.Module`."""


class UnsupportedModel(OptimError):
    """The model can be measured, but not changed in place."""


class UnknownTechnique(OptimError):
    """No technique of that name is registered."""


class NotApplicable(OptimError):
    """The technique does not apply to this model; the message says why."""


class EvaluateFailed(OptimError):
    """The user's `evaluate` raised, or returned no finite number."""


class TrainFailed(OptimError):
    """The user's `train` raised, or did not train the model that it was given."""


class InvalidRecipe(OptimError):
    """A saved model is broken, of another version, or does not fit the model it is loaded into."""


class ExportFailed(OptimError):
    """The model cannot be written in that format; the message says why."""


class Busy(OptimError):
    """Another measurement or change is under way in this process."""


class Cancelled(OptimError):
    """The user pressed *Cancel*."""


class MissingExtra(OptimError):
    """An optional dependency is not installed; the message has the command."""


def nearest(name: str, valid: Iterable[str]) -> tuple[str, ...]:
    """The names of `valid`, those most like `name` first."""
    names = sorted(valid)
    return tuple(sorted(names, key=lambda each: -difflib.SequenceMatcher(None, name, each).ratio()))
