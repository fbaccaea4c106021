"""``%%optimize`` and ``%optimize``: what is asked is checked first, then the body runs, then it is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from jupyter_optim.errors import InvalidModel, InvalidOption, OptimError, nearest
from jupyter_optim.notebook import arguments, cell
from jupyter_optim.notebook.arguments import Arguments
from jupyter_optim.notebook.cells import CellNames
from jupyter_optim.profiling.lines.user_code import name_cells_by

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell
    from torch import nn

    from jupyter_optim.progress import Progress
    from jupyter_optim.session import Session, Watch

_T = TypeVar("_T")
_SHELL_NAMES = ("exit", "quit", "open", "get_ipython", "display")
"""Functions that IPython puts into the user's namespace."""
OfModel = Callable[..., Any]
"""A function of the model: `evaluate`, or `train`."""


@magics_class
class OptimizeMagics(Magics):
    """The magics, and what they must know of the running cell."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._raw_cell: str | None = None

    def remember_cell(self, info: ExecutionInfo) -> None:
        """Keep the text of the cell that is about to run, as the editor shows it."""
        self._raw_cell = info.raw_cell

    def end_cell(self, result: ExecutionResult | None) -> None:
        """Tell IPython that the cell failed if its body did: it saw a magic that returned."""
        self._raw_cell = None
        if result is not None and not result.success:
            self.shell.last_execution_succeeded = False

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def optimize(self, line: str, body: str | None = None, local_ns: dict[str, Any] | None = None) -> None:
        """Measure the PyTorch model that runs here, and offer what would make it faster."""
        with _refusing():
            given = arguments.parse(line, expression=body is None)
        if given.help:
            print(arguments.HELP)  # noqa: T201 (what --help asks for)
        elif given.open is not None:
            self._open_trace(given)
        elif given.recalibrate and not given.target and body is None:
            self._recalibrate()
        elif body is None:
            self._optimize_expression(given, {**self.shell.user_ns, **(local_ns or {})})
        else:
            self._optimize_cell(given, line, body)

    def _recalibrate(self) -> None:
        from jupyter_optim.notebook.outcome import show_peaks  # noqa: PLC0415 (imports torch)

        show_peaks(self.shell)

    def _open_trace(self, given: Arguments) -> None:
        from jupyter_optim.notebook.outcome import show_trace  # noqa: PLC0415 (imports torch)

        show_trace(self.shell, given)

    def _optimize_expression(self, given: Arguments, namespace: dict[str, Any]) -> None:
        expression = given.target or ""
        with _refusing():
            _check_expression(expression)
            evaluate = _function("--evaluate", given.evaluate, namespace)
            train = _function("--train", given.train, namespace)
            calibration = _iterable("--calibration", given.calibration, namespace)
        from jupyter_optim.notebook.outcome import present  # noqa: PLC0415 (imports torch)
        from jupyter_optim.session import Terms, optimize_expression  # noqa: PLC0415 (imports torch)

        def measure(progress: Progress) -> Session:
            terms = Terms(evaluate, given.max_drop, given.goal, train, calibration, given.with_paths)
            return optimize_expression(
                expression, namespace, terms, trace_path=given.trace, progress=progress
            )

        present(self.shell, given, measure, expression)

    def _optimize_cell(self, given: Arguments, line: str, body: str) -> None:
        namespace = self.shell.user_ns
        with _refusing():
            model = _model(given.target, namespace)
            evaluate = _function("--evaluate", given.evaluate, namespace)
            train = _function("--train", given.train, namespace)
            calibration = _iterable("--calibration", given.calibration, namespace)
        placed = cell.place(self._raw_cell, "%%optimize", line, body)
        program = cell.prepare(self.shell, placed)
        if program is None:
            return
        from jupyter_optim.notebook.outcome import fail, present  # noqa: PLC0415 (imports torch)

        try:
            seen = self._watch_body(placed, program, given)
        except cell.BodyRaised:
            return
        except UsageError:
            raise
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the edge)
            fail(self.shell, given, error)
            return
        # the body may have bound these names to something new
        model = _rebound(_model, given.target, namespace, model)
        evaluate = _rebound(partial(_function, "--evaluate"), given.evaluate, namespace, evaluate)
        train = _rebound(partial(_function, "--train"), given.train, namespace, train)
        calibration = _rebound(partial(_iterable, "--calibration"), given.calibration, namespace, calibration)

        def measure(progress: Progress) -> Session:
            from jupyter_optim.session import Terms  # noqa: PLC0415 (imports torch)

            terms = Terms(evaluate, given.max_drop, given.goal, train, calibration, given.with_paths)
            return seen.session(model, terms, trace_path=given.trace, progress=progress, predict=False)

        present(self.shell, given, measure, "the model" if model is None else type(model).__name__)

    def _watch_body(self, placed: cell.Placed, program: cell.Program, given: Arguments) -> Watch:
        """Run the body under watch; what raises here, other than `cell.BodyRaised`, is ours.

        Raises:
            cell.BodyRaised: the body raised, and was shown.
            UsageError: it cannot be watched now, and was not run.
        """
        from jupyter_optim.session import watch  # noqa: PLC0415 (imports torch)

        ran = False
        try:
            names = CellNames(self.shell, program.filename)
            with watch(cell=placed.cell, cell_of=names, lines=given.lines) as seen:
                ran = True
                cell.run(self.shell, program, on_display=seen.line_ended)
        except cell.BodyRaised:
            raise
        except Exception as error:
            if not ran and isinstance(error, OptimError):
                raise UsageError(str(error)) from None
            if not ran:
                cell.run(self.shell, program)  # no fault of ours may keep the user's cell from running
            raise
        return seen


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse what is wrong in one line and without a traceback, as IPython does for its own magics."""
    try:
        yield
    except OptimError as error:
        raise UsageError(str(error)) from None


def _check_expression(expression: str) -> None:
    try:
        compile(expression, "<%optimize>", "eval")
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise InvalidOption(f"{expression} is not a Python expression: {said}.") from None


def _model(expression: str | None, namespace: dict[str, Any]) -> nn.Module | None:
    if expression is None:
        return None
    from torch import nn  # noqa: PLC0415 (loading the extension must not import torch)

    model = _look_up("The model", expression, namespace, lambda value: isinstance(value, nn.Module))
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise InvalidModel(f"{expression} is a class of models; give a model made from it.")
    if not isinstance(model, nn.Module):
        raise InvalidModel(f"{expression} is a {type(model).__name__}, not a torch.nn.Module.")
    return model


def _function(option: str, expression: str | None, namespace: dict[str, Any]) -> OfModel | None:
    if expression is None:
        return None
    found = _look_up(option, expression, namespace, callable)
    if not callable(found):
        raise InvalidOption(
            f"{option} {expression} is a {type(found).__name__}, not a function of the model."
        )
    function: OfModel = found
    return function


def _iterable(option: str, expression: str | None, namespace: dict[str, Any]) -> Iterable[Any] | None:
    def fits(value: Any) -> bool:
        return hasattr(value, "__iter__") or hasattr(value, "__getitem__")

    if expression is None:
        return None
    found = _look_up(option, expression, namespace, fits)
    if not fits(found):
        raise InvalidOption(
            f"{option} {expression} is a {type(found).__name__}, not an iterable of inputs: give a list of batches, or "
            "a DataLoader."
        )
    inputs: Iterable[Any] = found
    return inputs


def _look_up(what: str, expression: str, namespace: dict[str, Any], fits: Callable[[Any], bool]) -> Any:
    """The value of `expression`; a name that is not defined is met with those that would fit."""
    try:
        return eval(expression, namespace)  # noqa: S307 (the user's own words, in the user's own namespace)
    except NameError as error:
        fitting = [
            name
            for name, value in namespace.items()
            if not name.startswith("_") and name not in _SHELL_NAMES and fits(value)
        ]
        known = f" Defined before this cell: {', '.join(nearest(expression, fitting)[:3])}."
        raise InvalidModel(f"{what} {expression}: {error}.{known if fitting else ''}") from None
    except Exception as error:  # noqa: BLE001 (an expression raises what it likes)
        raise InvalidModel(f"{what} {expression}: {type(error).__name__}: {error}.") from None


def _rebound(
    look: Callable[[str | None, dict[str, Any]], _T], name: str | None, names: dict[str, Any], old: _T
) -> _T:
    try:
        return look(name, names)
    except OptimError:
        return old


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics; called by ``%load_ext jupyter_optim``."""
    magics = OptimizeMagics(ipython)
    ipython.register_magics(magics)
    name_cells_by(CellNames(ipython))
    ipython.events.register("pre_run_cell", magics.remember_cell)
    ipython.events.register("post_run_cell", magics.end_cell)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take back what `load_ipython_extension` did."""
    registered = [ipython.magics_manager.magics[kind].pop("optimize", None) for kind in ("line", "cell")]
    magics = getattr(registered[0], "__self__", None)
    if isinstance(magics, OptimizeMagics):
        ipython.events.unregister("pre_run_cell", magics.remember_cell)
        ipython.events.unregister("post_run_cell", magics.end_cell)
        name_cells_by(None)
