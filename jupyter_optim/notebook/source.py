"""The changes of the model that a cell measured, as a text for the front end that puts it into a cell."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from jupyter_optim.errors import OptimError
from jupyter_optim.session import Session, current
from jupyter_optim.techniques.graft import CARRIED


class Source:
    """Code that shows itself as it is, without quotes.

    Args:
        text: the code.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def source_of(cell: str, model: str) -> Source:
    """The changes that stand in the model of a report, as plain PyTorch.

    Args:
        cell: the text of the cell that the report is of.
        model: the model's class, as the report names it; it decides where the model was measured by another cell since.

    Raises:
        OptimError: no such model has a session now, or no change stands in it.
    """
    session = _session(cell, model)
    if not any(step.accepted and not step.undone for step in session.history):
        raise OptimError(f"No change is in place in {model}: press a button below its report first.")
    return Source(session.code())


def _session(cell: str, model: str) -> Session:
    known = list(_sessions())
    fitting = [each for each in known if each.report.cell == cell] or [
        each for each in known if each.report.workload.model == model
    ]
    if not fitting:
        raise OptimError(f"This kernel has no measured {model}: run the cell again first.")
    return fitting[0]


def _sessions() -> Iterator[Session]:
    """The newest session, then those of models that have a name in the user's namespace."""
    try:
        yield current()
    except OptimError:
        return  # no model has ever been measured
    for value in list(vars(sys.modules["__main__"]).values()):
        session = getattr(value, "__dict__", {}).get(CARRIED)
        if isinstance(session, Session):
            yield session
