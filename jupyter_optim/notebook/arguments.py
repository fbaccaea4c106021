"""The line after ``%%optimize`` or ``%optimize``, read and checked before anything runs."""

from __future__ import annotations

import keyword
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from jupyter_optim.errors import InvalidOption, nearest
from jupyter_optim.report import Goal

HELP = """\
%%optimize [MODEL] [OPTIONS]     measure the PyTorch model that this cell calls
%optimize [OPTIONS] EXPR         measure this expression: %optimize model.generate(ids)

The cell runs once, as ever. Below it appear the report and a row of controls.

MODEL                the model, where the cell calls more than one: net, or net.encoder
--evaluate NAME      a function of the model that returns its quality, higher is better
--train NAME         a function that trains the model it is given: called after pruning, on a draft, before
                     that is judged
--calibration NAME   inputs like those to come, batch by batch (a list, a DataLoader): what int8 with fixed
                     scales is scaled by, in place of the inputs of this cell
--max-drop 1%        the largest loss of quality to accept: 0.01 (default) is absolute, 1% is relative.
                     Without --evaluate, quality is the cosine similarity to the answers at first
--goal GOAL          what to gain: latency (default), memory, size or energy
--into NAME          keep the session in this variable (jupyter_optim.current() has it, too)
--no-lines           do not trace which lines cost the time
--save PATH          write the report to a file: .html, .json or .txt
--trace PATH         write the profiler's trace to a file (.json, .json.gz), or into a log folder of
                     TensorBoard: a folder that exists, or a name that ends in /
--recalibrate        measure anew what this machine can do at most (kept from then on)
--open FILE          show the trace file that torch.profiler wrote on any machine (%optimize alone)
--with-paths         keep paths, user and host names in the report and the trace, where errors tell them
--quiet              show the headline only, no panel
-h, --help           show this text and run nothing
"""

_SAVED = (".html", ".json", ".txt")
_CLOSES = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the user asked of the magic."""

    target: str | None = None
    """The MODEL, or with ``%optimize`` the EXPR, as it was written."""
    evaluate: str | None = None
    train: str | None = None
    calibration: str | None = None
    max_drop: float | str | None = None
    goal: Goal = "latency"
    into: str | None = None
    lines: bool = True
    save: Path | None = None
    trace: Path | None = None
    open: Path | None = None
    recalibrate: bool = False
    with_paths: bool = False
    quiet: bool = False
    help: bool = False


def parse(line: str, *, expression: bool) -> Arguments:
    """Read the magic's line.

    Args:
        line: what stands after the magic's name.
        expression: options stop at the first other word, and the rest of the line is the expression.

    Raises:
        InvalidOption: an unknown option, a bad value, or not exactly one target.
    """
    given = Arguments()
    targets: list[str] = []
    words = _words(line)
    for start, word in words:
        if word == "--" and expression:
            return _with_expression(given, line[start + 2 :])
        if word.startswith("#"):
            break
        if not _is_option(word):
            if expression:
                return _with_expression(given, line[start:])
            targets.append(word)
            continue
        name, equals, value = word.partition("=")
        if name in _FLAGS:
            given = replace(given, **_FLAGS[name])
        else:
            field, read = _reader(name)
            given = replace(given, **{field: read(name, _unquoted(value if equals else _value(name, words)))})
    if given.recalibrate and expression and not targets:
        return given
    if given.open is not None:
        return _alone(given, targets, expression=expression)
    return given if given.help else _with_model(given, targets, expression=expression)


def _alone(given: Arguments, targets: list[str], *, expression: bool) -> Arguments:
    if targets or not expression:
        raise InvalidOption("--open shows a trace file, and runs nothing: %optimize --open FILE.")
    return given


def _is_option(word: str) -> bool:
    return word.startswith("--") or (len(word) > 1 and word[0] == "-" and word[1].isalpha())


def _with_expression(given: Arguments, text: str) -> Arguments:
    text = text.strip().rstrip("; \t")
    if given.help:
        return given
    if not text:
        raise InvalidOption("Give an expression to measure, such as: %optimize model(x).")
    return replace(given, target=text)


def _with_model(given: Arguments, targets: list[str], *, expression: bool) -> Arguments:
    if expression:
        raise InvalidOption("Give an expression to measure, such as: %optimize model(x).")
    if len(targets) > 1:
        raise InvalidOption(
            f"Give one model, not {len(targets)} ({', '.join(targets)}); put an expression that has spaces "
            f"into parentheses."
        )
    return replace(given, target=targets[0] if targets else None)


def _words(line: str) -> Iterator[tuple[int, str]]:
    """The words of `line` with their positions; brackets and quotes hold a word together."""
    start: int | None = None
    quote = ""
    open_brackets: list[str] = []
    for position, letter in enumerate(line + " "):
        if quote:
            if letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter in _CLOSES:
            open_brackets.append(_CLOSES[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
        elif letter.isspace() and not open_brackets:
            if start is not None:
                yield start, line[start:position]
            start = None
            continue
        if start is None and not letter.isspace():
            start = position
    if start is not None:
        yield start, line[start:].rstrip()


def _unquoted(word: str) -> str:
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "\"'"
    return word[1:-1] if quoted else word


def _value(name: str, words: Iterator[tuple[int, str]]) -> str:
    _, word = next(words, (0, ""))
    if not word or _is_option(word):
        raise InvalidOption(f"{name} needs a value; see %optimize --help.")
    return word


def _reader(name: str) -> tuple[str, Callable[[str, str], Any]]:
    if name not in _READERS:
        closest = nearest(name, [*_READERS, *_FLAGS])[0]
        raise InvalidOption(f"There is no option {name}; did you mean {closest}? See %optimize --help.")
    return _READERS[name]


def _text(name: str, value: str) -> str:
    if not value:
        raise InvalidOption(f"{name} needs a value; see %optimize --help.")
    return value


def _drop(name: str, value: str) -> float | str:
    number = value.removesuffix("%")
    try:
        drop = float(number)
    except ValueError:
        drop = math.nan
    # written so that NaN fails too
    if not 0 <= drop < math.inf:
        raise InvalidOption(f"{name} {value}: give a number such as 0.01, or a share such as 1%.")
    return value if value.endswith("%") else drop


def _goal(name: str, value: str) -> str:
    goals = get_args(Goal)
    if value not in goals:
        raise InvalidOption(f"{name} {value}: choose one of {', '.join(nearest(value, goals))}.")
    return value


def _variable(name: str, value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise InvalidOption(f"{name} {value}: give the name of a variable.")
    return value


def _trace(name: str, value: str) -> Path:
    from jupyter_optim.profiling.trace.tensorboard import TRACE_ENDINGS  # noqa: PLC0415 (imports numpy)

    path = Path(_text(name, value)).expanduser()
    if not path.is_dir() and not value.endswith(("/", os.sep)):
        return _path(name, value, TRACE_ENDINGS)
    if path.is_dir():
        return path
    if path.name.lower().endswith(TRACE_ENDINGS):
        raise InvalidOption(f"{name} {value}: the name of a folder must not end like that of a file.")
    if path.exists() or not path.parent.is_dir():
        trouble = f"{path} is a file" if path.exists() else f"there is no folder {path.parent}"
        raise InvalidOption(f"{name} {value}: {trouble}.")
    return path


def _path(name: str, value: str, endings: tuple[str, ...]) -> Path:
    path = Path(value).expanduser()
    if not path.name.lower().endswith(endings):
        raise InvalidOption(f"{name} {value}: the file's name must end in {' or '.join(endings)}.")
    if not path.parent.is_dir():
        raise InvalidOption(f"{name} {value}: there is no folder {path.parent}.")
    return path


_FLAGS: dict[str, dict[str, Any]] = {
    "--no-lines": {"lines": False},
    "--with-paths": {"with_paths": True},
    "--quiet": {"quiet": True},
    "--recalibrate": {"recalibrate": True},
    "--help": {"help": True},
    "-h": {"help": True},
}
_READERS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "--evaluate": ("evaluate", _text),
    "--train": ("train", _text),
    "--calibration": ("calibration", _text),
    "--max-drop": ("max_drop", _drop),
    "--goal": ("goal", _goal),
    "--into": ("into", _variable),
    "--save": ("save", lambda name, value: _path(name, value, _SAVED)),
    "--open": ("open", lambda name, value: Path(_text(name, value)).expanduser()),
    "--trace": ("trace", _trace),
}
