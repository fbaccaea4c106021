"""The cell's body, run once, just as IPython runs a cell.

A magic receives the body as text, without the lines above it. Here it is put back to where the editor shows
it, compiled under the cell's own file name, and handed to IPython's own runner: what it displays, `Out`,
tracebacks, ``%debug`` and line numbers are then those of a plain cell.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell


class BodyRaised(Exception):
    """The body raised; IPython has shown that, so nothing is left to say."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The body of a cell magic, and where it stands in the cell."""

    cell: str
    """The whole cell as the editor shows it."""
    above: tuple[str, ...]
    """The lines of the cell above the body, the magic's own included."""
    body: str


def place(raw_cell: str | None, magic: str, line: str, body: str) -> Placed:
    """Find `body` in the cell that holds it.

    Args:
        raw_cell: the text of the running cell, if it is known.
        magic: the magic as written, such as ``%%optimize``.
        line: what stands after the magic's name.
        body: the text below the magic's line, as IPython hands it over.
    """
    lines = (raw_cell or "").split("\n")
    height = len(body.rstrip("\n").split("\n"))
    for number, text in enumerate(lines, start=1):
        below = "\n".join(lines[number:]).rstrip("\n")
        # the lines are counted, not compared: IPython strips indentation and prompts from a body
        if text.strip().startswith(magic) and len(below.split("\n")) == height:
            return Placed("\n".join(lines), tuple(lines[:number]), body)
    own = f"{magic} {line}".rstrip()
    return Placed(f"{own}\n{body}", (own,), body)


@dataclass(frozen=True, slots=True)
class Program:
    """A body that is ready to run."""

    nodes: list[ast.stmt]
    filename: str
    interactivity: str


def prepare(shell: InteractiveShell, placed: Placed) -> Program | None:
    """Compile the body; None if it cannot be, which was then shown as in a plain cell.

    Raises:
        UsageError: the body awaits at its top level.
    """
    try:
        source = shell.transform_cell(placed.body)
    except Exception as error:  # noqa: BLE001 (input transformers raise what they like)
        _mark_unrun(shell, error)
        shell.showtraceback()
        return None
    text = _above(placed) + source
    filename = shell.compile.cache(text, _number(shell), raw_code=placed.cell)
    try:
        tree = shell.transform_ast(shell.compile.ast_parse(text, filename=filename))
    except Exception as error:  # noqa: BLE001 (so do AST transformers, and the parser)
        _mark_unrun(shell, error)
        shell.showtraceback()
        return None
    if _awaits(shell, tree, filename):
        raise UsageError(
            "%%optimize cannot measure a cell that awaits at its top level, and has not run it. Await in a "
            "cell of its own, or measure the call alone: %optimize model(x)."
        )
    # the semicolon that silences a cell is looked for in the outer cell, where it is inside a string
    silenced = DisplayHook.semicolon_at_end_of_expression(source)
    return Program(tree.body, filename, "none" if silenced else shell.ast_node_interactivity)


def run(shell: InteractiveShell, program: Program, on_display: Callable[[], None] | None = None) -> None:
    """Run the body in the user's namespace.

    Args:
        shell: IPython.
        program: what is run.
        on_display: called before the value of an expression is shown: to show it is no work of its line's.

    Raises:
        BodyRaised: the body raised, which was shown as in a plain cell.
    """
    result = shell.displayhook.exec_result
    # the result of the cell around us takes the error, so that the kernel's reply says so, too
    running = shell.run_ast_nodes(
        program.nodes,
        program.filename,
        interactivity=program.interactivity,
        compiler=shell.compile,
        result=result,
    )
    with _told_of_display(on_display):
        raised = _finish(running)
    if raised:
        raise BodyRaised
    _show_figures()


@contextmanager
def _told_of_display(on_display: Callable[[], None] | None) -> Iterator[None]:
    """`on_display` is called meanwhile before Python shows a value; IPython's own hook goes on showing it."""
    usual = sys.displayhook

    def shown(value: object) -> None:
        if on_display is not None:
            on_display()
        usual(value)

    sys.displayhook = shown
    try:
        yield
    finally:
        if sys.displayhook is shown:  # the cell may have set another
            sys.displayhook = usual


def _above(placed: Placed) -> str:
    """Lines to stand for those above the body, blank ones at its top included, which IPython strips.

    They are comments, not the lines themselves, so that the whole remains Python to those who show tracebacks.
    """
    text = placed.body.lstrip()
    blank = placed.body.removesuffix(text).count("\n") if text else 0
    lines = [f"#{line.strip()}" if line.strip() else "" for line in placed.above]
    return "".join(f"{line}\n" for line in lines) + "\n" * blank


def _number(shell: InteractiveShell) -> int:
    """The cell's number, as its prompt shows it: the shell's counter has moved on by now."""
    result = shell.displayhook.exec_result
    number = None if result is None else result.execution_count
    return shell.execution_count if number is None else number


def _show_figures() -> None:
    """Show what the body plotted now: pyplot's inline backend would show it below the report."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    if inline is not None:
        inline.flush_figures()


def _mark_unrun(shell: InteractiveShell, error: BaseException) -> None:
    if shell.displayhook.exec_result is not None:
        shell.displayhook.exec_result.error_before_exec = error


def _awaits(shell: InteractiveShell, tree: ast.Module, filename: str) -> bool:
    if not shell.autoawait:
        return False
    try:
        # the built-in compiler: IPython's would learn the body's __future__ imports before they ran
        flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, filename, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False  # IPython's runner meets it again, and shows it
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _finish(running: Coroutine[Any, Any, bool]) -> bool:
    """Run a coroutine that never waits."""
    try:
        running.send(None)
    except StopIteration as stop:
        return bool(stop.value)
    running.close()
    raise RuntimeError("The cell's body waited for an event loop.")
