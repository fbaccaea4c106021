"""What PyTorch's compiler remembers of its work in this process: read, and never changed.

All of it is private to PyTorch, so each piece may be absent; then there is less to say.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

_ID = re.compile(r"(\d+)/(\d+)$")
_OUR_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")
_GAVE_UP = "recompile limit"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a function."""

    filename: str
    lineno: int
    function: str


@dataclass(frozen=True, slots=True)
class Compilation:
    """One entry of the compiler's log: a function that it compiled, or tried to.

    Attributes:
        frame: number of the function.
        attempt: 0 for its first compilation.
        code: file and first line of the function; None where that was not noted.
        function: its name; what goes on after a break is a function of its own.
        ops: ops in its graph; None if it has none.
        interrupted_by: texts of what ended the graph early.
        again: why it was compiled again, or None.
        failure: why it runs uncompiled, or None.
        failed_at: where that is.
        values: names and shapes of the graph's inputs and values, as the log has them.
        input_count: how many of these are inputs, sizes that may vary among them.
    """

    frame: int
    attempt: int
    code: tuple[str, int] | None
    function: str | None
    ops: int | None
    interrupted_by: frozenset[str]
    again: str | None
    failure: str | None
    failed_at: Place | None
    values: str | None = None
    input_count: int | None = None

    def inputs(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """Names and shapes of the graph's inputs and values, in order; the inputs come first."""
        try:
            found = ast.literal_eval(self.values or "{}")
        except (SyntaxError, ValueError):
            return ()
        if not isinstance(found, dict):
            return ()
        return tuple((str(name), tuple(shape)) for name, shape in found.items())

    @property
    def for_hooks(self) -> bool:
        """Whether it was compiled again only because a profiler's hooks came or went."""
        return self.again is not None and any(name in self.again for name in _OUR_HOOKS)

    @property
    def gave_up(self) -> bool:
        """Whether it was not compiled any more after having been compiled too often."""
        return self.failure is not None and _GAVE_UP in self.failure


@dataclass(frozen=True, slots=True)
class Break:
    """A place at which a graph ended."""

    text: str
    stack: tuple[Place, ...]
    """From the compiled function inwards."""


@dataclass(frozen=True, slots=True)
class Records:
    """The compiler's log, the oldest entry first."""

    compilations: tuple[Compilation, ...]
    breaks: tuple[Break, ...]
    reason: str | None = None
    """What could not be read, and why."""


NO_RECORDS = Records((), ())


def records() -> Records:
    """What the compiler remembers; nothing where it was never used."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    if dynamo is None:
        return NO_RECORDS
    log, breaks = (
        getattr(dynamo, "get_compilation_metrics", None),
        getattr(dynamo, "graph_break_reasons", None),
    )
    missing = [] if callable(log) else ["compilations"]
    missing += [] if isinstance(breaks, list) else ["graph breaks"]
    found = tuple(_compilations(log() if callable(log) else []))
    return Records(
        found,
        tuple(_break(each) for each in breaks) if isinstance(breaks, list) else (),
        f"this version of PyTorch does not tell its {' and '.join(missing)}" if missing else None,
    )


def frame_and_attempt(text: str) -> tuple[int, int] | None:
    """Number of the function and of its compilation in an id such as ``0/1``."""
    found = _ID.search(text)
    return (int(found[1]), int(found[2])) if found else None


def _compilations(log: list[Any]) -> Iterator[Compilation]:
    for entry in log:
        number = frame_and_attempt(str(getattr(entry, "compile_id", None)))
        # a backward pass has an entry of its own, under the id of its forward pass
        if number is None or getattr(entry, "is_forward", True) is False:
            continue
        file, line = getattr(entry, "co_filename", None), getattr(entry, "co_firstlineno", None)
        yield Compilation(
            frame=number[0], attempt=number[1], code=None if file is None or line is None else (file, line),
            function=getattr(entry, "co_name", None), ops=getattr(entry, "graph_op_count", None) or None,
            interrupted_by=frozenset(getattr(entry, "restart_reasons", None) or ()),
            again=_again(getattr(entry, "recompile_reason", None)),
            failure=getattr(entry, "fail_reason", None), failed_at=_failed_at(entry),
            values=getattr(entry, "graph_node_shapes", None),
            input_count=getattr(entry, "graph_input_count", None),
        )  # fmt: skip


def _again(text: str | None) -> str | None:
    """``0/0: tensor 'x' size mismatch ...  # the line`` without its number, and without the line."""
    if not text:
        return None
    return re.sub(r"^\S*\d+/\d+:\s*", "", text.splitlines()[0]).partition("  #")[0].strip()


def _failed_at(entry: Any) -> Place | None:
    file, line = (
        getattr(entry, "fail_user_frame_filename", None),
        getattr(entry, "fail_user_frame_lineno", None),
    )
    if file is None or line is None:
        return None
    return Place(file, line, getattr(entry, "co_name", None) or "")


def _break(reason: Any) -> Break:
    frames = getattr(reason, "user_stack", None) or ()
    stack = tuple(Place(each.filename, each.lineno or 0, each.name) for each in frames)
    return Break(str(getattr(reason, "reason", "")), stack)


def ends(compilation: Compilation, breaks: tuple[Break, ...]) -> list[Break]:
    """The breaks that ended this graph, the innermost place of each once.

    The log does not link the two: a break belongs to the function in which it was met, and its text is among those
    that interrupted the compilation. A branch on a tensor's value interrupts none.
    """
    if compilation.code is None:
        return []
    mine = [
        each
        for each in breaks
        if each.stack
        and each.stack[0].filename == compilation.code[0]
        and each.stack[0].function == compilation.function
    ]
    named = [each for each in mine if each.text in compilation.interrupted_by]
    if compilation.interrupted_by:
        return named
    return [each for each in mine if each.text.startswith("generic_jump")]


_CAUSES = (
    (
        r"builtin operator `print`",
        "`print`",
        "print after the call, or `if not torch.compiler.is_compiling()`",
    ),
    (
        r"Tensor\.(item|tolist)\(\)",
        r"`.\1()`",
        "keep the value in a tensor, or read it after the call",
    ),
    (
        r"generic_jump|[Dd]ata-dependent branching",
        "a branch on the value of a tensor",
        "choose with `torch.where`, or `torch.cond`",
    ),
    (
        r"recompile limit",
        "compiled too often",
        "give what changes as a tensor, or mark sizes that vary with `torch._dynamo.mark_dynamic`",
    ),
    (r"builtin operator `(\w+)`", r"`\1`", None),
    (r"torch\._dynamo\.disable|torch\.compiler\.disable", "a function with `torch.compiler.disable`", None),
)
"""What the compiler's text says, in our words, and what helps; the text's own hint where that is None."""


def explanation(text: str) -> tuple[str, str | None]:
    """What ended a graph, and what helps: in our words where we have some, else in the compiler's."""
    lines = [line.strip() for line in text.splitlines()]
    hints = [line.removeprefix("Hint: ") for line in lines if line.startswith("Hint: ")]
    first = " ".join(takewhile(lambda line: line and not line.startswith(("Explanation:", "Hint:")), lines))
    about = first + next((line for line in lines if line.startswith("Explanation:")), "")
    for pattern, cause, hint in _CAUSES:
        found = re.search(pattern, about)
        if found:
            return found.expand(cause), hint or next(iter(hints), None)
    return first or text.strip(), next(iter(hints), None)
