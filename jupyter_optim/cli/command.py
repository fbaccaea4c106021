"""The command line: what was asked, and the one place where an error becomes a sentence and a status."""

from __future__ import annotations

import argparse
import io
import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_optim.errors import OptimError

BAD_INPUT = 2
"""The exit status where nothing could be judged: the same as for a wrong option."""

_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Returns:
        The exit status: 0, or 1 if a check found something, or 2 if the input is none that can be read.
    """
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal, or a CI's log, that knows no µ gets a question mark in its place
        sys.stdout.reconfigure(errors="replace")
    try:
        status = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has seen enough (`| head`); Python must not find that out once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OptimError, OSError) as error:
        print(f"jupyter optim {given.command}: {_sentence(error)}", file=sys.stderr)
        return BAD_INPUT
    return status


def _run(given: argparse.Namespace) -> int:
    # each command imports what it needs when it is called: `show` must not wait for matplotlib, or torch
    if given.command == "show":
        from jupyter_optim.cli.show import show  # noqa: PLC0415

        return show(given.notebook, _width())
    if given.command == "html":
        from jupyter_optim.cli.pages import write_page  # noqa: PLC0415

        return write_page(given.notebook, given.output)
    if given.command == "diff":
        from jupyter_optim.cli.diff import diff  # noqa: PLC0415

        return diff(given.before, given.after, _width())
    if given.command == "check":
        from jupyter_optim.cli.check import check  # noqa: PLC0415

        return check(given.notebook, given.max_regression, given.against)
    from jupyter_optim.cli.doctor import doctor  # noqa: PLC0415

    return doctor(_width())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter optim",
        description="Read the reports of jupyter_optim in saved notebooks, without a kernel.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    saved = "a notebook that holds reports, or a report (.json)"

    show = commands.add_parser(
        "show", help="the reports of a notebook as text", description="Print reports as text."
    )
    show.add_argument("notebook", type=Path, metavar="NB", help=saved)

    html = commands.add_parser(
        "html", help="the reports of a notebook as a page",
        description="Write reports as one html page that needs nothing else, light or dark as the reader's system is.",
    )  # fmt: skip
    html.add_argument("notebook", type=Path, metavar="NB", help=saved)
    html.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the page to write (.html)"
    )

    diff = commands.add_parser(
        "diff", help="what changed between two notebooks",
        description="Print what got faster, what slower, and what is noise, from one file to another.",
    )  # fmt: skip
    diff.add_argument("before", type=Path, metavar="A", help=saved)
    diff.add_argument("after", type=Path, metavar="B", help="the same, later")

    check = commands.add_parser(
        "check", help="for CI: fail if a call has become slower",
        description="Exit with status 1 and the reason if a call takes longer than allowed: longer than in OLD, or, "
        "without --against, longer than before the changes that the model carries. What is noise never fails.",
    )  # fmt: skip
    check.add_argument("notebook", type=Path, metavar="NB", help=saved)
    check.add_argument(
        "--max-regression", type=_share, default=0.1, metavar="SHARE",
        help="by how much a call may be slower, such as 10%% (default)",
    )  # fmt: skip
    check.add_argument(
        "--against", type=Path, metavar="OLD", help="what to compare with: an older notebook or report"
    )

    commands.add_parser(
        "doctor", help="what this machine offers, and what is missing",
        description="Look at Python, PyTorch, sensors, extras and the JupyterLab extension; say how to get what is "
        "missing. Exits with status 1 if something is missing that the package cannot do without.",
    )  # fmt: skip
    return parser


def _share(text: str) -> float:
    percent = text.strip().endswith("%")
    try:
        value = float(text.strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    # written so that NaN fails too; 10 without a sign is more likely 10% than ten times as slow
    if not 0 <= value <= (10 if percent else 1):
        raise argparse.ArgumentTypeError(f"{text}: give a share such as 10%, or 0.1")
    return value


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else _WIDTH


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'The file'} cannot be read or written: {error.strerror or error}."
    return str(error)
