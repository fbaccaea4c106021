"""Begin a session, or go on with the one that a model has."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Any

from torch import nn

from jupyter_optim.capture import Capture
from jupyter_optim.errors import InvalidOption, OptimError
from jupyter_optim.profiling.source import Source
from jupyter_optim.progress import Progress
from jupyter_optim.quality import Evaluate
from jupyter_optim.report import Goal
from jupyter_optim.session.recovery import Train
from jupyter_optim.session.session import Session
from jupyter_optim.session.terms import Terms
from jupyter_optim.techniques.graft import CARRIED
from jupyter_optim.workload import Evaluated, Workload

_newest: list[Session] = []
"""The newest session, alone: `current` must find it, and older models must not be kept alive."""


def optimize(
    model: nn.Module, inputs: Any, *, evaluate: Evaluate | None = None, max_drop: float | str = 0.01,
    goal: Goal = "latency", train: Train | None = None, calibration: Iterable[Any] | None = None,
    with_paths: bool = False,
) -> Session:  # fmt: skip
    """Measure ``model(inputs)`` and open a session that can change the model.

    Args:
        model: the module to measure; it stays the same object throughout.
        inputs: a tensor, a tuple of positional inputs, or a dict of keyword inputs.
        evaluate: called with a model, returns its quality as a number, higher is better. None: fidelity, the
            cosine similarity to the original's outputs on these inputs.
        max_drop: how much quality a change may cost: 0.01 is absolute, "1%" is relative.
        goal: what recommendations are ordered by, and what counts as better.
        train: called with a draft after a technique that takes something out of it (pruning), before that is
            judged: it trains the model that it is given, in place. The live model stays as it is.
        calibration: inputs like those to come, batch by batch, each as `inputs` are: a list of them, or a DataLoader,
            whose labels are left out. Int8 with fixed scales (`int8-static`, `openvino-int8`) finds the scales on up
            to 128 of them, in place of `inputs`.
        with_paths: leave paths, user names and host names in the report, where errors tell them.

    Raises:
        InvalidModel, InvalidInputs, InvalidOption: with the reason; nothing was done.
        Busy: other work is under way.
    """
    terms = Terms(evaluate, max_drop, goal, train, calibration, with_paths)
    return open_session(Workload.of_call(model, inputs), terms)


def current() -> Session:
    """The newest session in this process. Raises `OptimError` if there is none."""
    if not _newest:
        raise OptimError(
            "There is no session yet: run a cell under %%optimize, or call jupyter_optim.optimize."
        )
    return _newest[0]


def open_session(
    workload: Workload, terms: Terms | None = None, *, source: Source | None = None,
    progress: Progress | None = None, predict: bool = True,
) -> Session:  # fmt: skip
    """The session of the workload's model, measured on this workload: the one it has, or a new one.

    It hangs on the model itself, so that it lives as long as the model does, and no longer. What techniques would bring
    is left to `Session.predict` unless `predict` is given.
    """
    model = workload.model
    session = model.__dict__.get(CARRIED)
    if isinstance(session, Session):
        session.remeasure(workload, terms or Terms(), source=source, progress=progress, predict=predict)
    else:
        session = Session(workload, terms, source=source, progress=progress, predict=predict)
        object.__setattr__(model, CARRIED, session)
    _newest[:] = [session]
    return session


def optimize_expression(
    expression: str, namespace: dict[str, Any], terms: Terms | None = None, *, trace_path: Path | None = None,
    progress: Progress | None = None,
) -> Session:  # fmt: skip
    """Make an expression the workload: it is run as a whole, many times, as by ``%timeit``.

    The model is the one that takes the most time in it. What would help is left to `Session.predict`.

    Args:
        expression: source of a Python expression, such as ``model.generate(ids)``.
        namespace: where it is evaluated.
        terms: what else the user asked; inputs for calibration are those of the model itself.
        trace_path: where to leave the Chrome trace, if anywhere.
        progress: told how far the work is.

    Raises:
        InvalidOption: it is no expression.
        NoModelCalled: it calls no module.
        Exception: whatever the expression itself raises.
    """
    try:
        code = compile(expression.strip(), "<%optimize>", "eval")
    except SyntaxError as error:
        raise InvalidOption(f"{expression.strip()!r} is no Python expression: {error.msg}.") from error
    with Capture() as capture:
        eval(code, namespace)  # noqa: S307 (the user's own line)
    workload = capture.workload(origin="expression", expression=expression.strip())
    names = _names_of(expression, namespace, workload.model)
    if names:
        workload = workload.as_expression(_runner(code, namespace, names, workload.model))
    return open_session(
        workload,
        terms,
        source=Source(trace_path=trace_path, with_paths=terms is not None and terms.with_paths),
        progress=progress,
        predict=False,
    )


def _names_of(expression: str, namespace: dict[str, Any], model: nn.Module) -> list[str]:
    """Names in the expression that stand for the model itself."""
    used = {node.id for node in ast.walk(ast.parse(expression.strip())) if isinstance(node, ast.Name)}
    return [name for name in used if namespace.get(name) is model]


def _runner(code: CodeType, namespace: dict[str, Any], names: list[str], live: nn.Module) -> Evaluated:
    """Evaluates the expression with another model under the live one's names."""

    def run(model: nn.Module) -> Any:
        place = namespace if model is live else {**namespace, **dict.fromkeys(names, model)}
        return eval(code, place)  # noqa: S307 (the user's own line)

    return run
