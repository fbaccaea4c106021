"""Execute the example notebooks on a real kernel, and keep what they show.

    python example_notebooks/run.py              all of them, in place
    python example_notebooks/run.py digits       that one
    python example_notebooks/run.py --demo       the quickstart into build/, with its report as text

Ends with status 1, and the cell's error, if a cell fails.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from jupyter_optim import Report
from jupyter_optim.report import MIME_TYPE

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
CELL_TIMEOUT_S = 600
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LIVE_ONLY = "application/vnd.jupyter.widget-view+json"


class NotebookFailed(Exception):
    """A cell raised, took too long, or took the kernel with it."""


def execute(path: Path, timeout_s: int = CELL_TIMEOUT_S) -> NotebookNode:
    """Run the notebook at `path` on the kernel of this interpreter, in its own folder.

    Args:
        path: the notebook; the file is only read.
        timeout_s: the longest that one cell may take.

    Returns:
        The notebook with its outputs, and without anything that only concerns this run.

    Raises:
        NotebookFailed: a cell failed; the message says which, and how.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # it warns of its own local sockets
        store_widget_state=False,  # GitHub shows no notebook that holds it
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookFailed(f"{path.name} failed: {_ANSI.sub('', str(error))}") from error
    return tidy(notebook)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Take out what belongs to one run only: timestamps, Python's version, and views of live controls."""
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(LANGUAGE))
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            # without a kernel it is "Loading widget...", and hides the sentence that says what to do
            output.get("data", {}).pop(_LIVE_ONLY, None)
    nbformat.validate(notebook)
    return notebook


def reports(notebook: NotebookNode) -> Iterator[Report]:
    """The reports that a notebook shows, read back from its outputs."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if MIME_TYPE in output.get("data", {}):
                yield Report.from_json(json.dumps(output.data[MIME_TYPE]))


def refresh(paths: Sequence[Path]) -> None:
    """Execute notebooks in place."""
    for path in paths:
        began = time.monotonic()
        print(f"{path.name} ...", end=" ", flush=True)
        nbformat.write(execute(path), path)
        print(f"{time.monotonic() - began:.0f} s")


def demonstrate(path: Path, folder: Path) -> None:
    """Execute one notebook, print its report, and leave notebook and html page in `folder`."""
    print(f"Executing {path.name} on a kernel of its own; that takes a minute or so ...\n", flush=True)
    notebook = execute(path)
    for report in reports(notebook):
        print(report, end="\n\n")
        print("What was tried:")
        for step in report.history:
            print(f"  {step.label}: {step.reason}")
    folder.mkdir(exist_ok=True)
    page = folder / f"{path.stem}.html"
    nbformat.write(notebook, folder / path.name)
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    print("\nThe executed notebook, and the same as a page for the browser:")
    for made in (folder / path.name, page):
        print(f"  {made.relative_to(Path.cwd()) if made.is_relative_to(Path.cwd()) else made}")
    print("To press the buttons yourself: make lab")


def main(arguments: Sequence[str] | None = None) -> int:
    """What the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Execute the example notebooks on a real kernel.")
    known = sorted(path.stem for path in HERE.glob("*.ipynb"))
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which of them: {', '.join(known)} (default: all)"
    )
    parser.add_argument(
        "--demo", action="store_true", help="execute the quickstart into build/, and print its report"
    )
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name.removesuffix(".ipynb") not in known]
    if unknown:
        parser.error(f"there is no notebook {unknown[0]}; there are {', '.join(known)}")
    try:
        if given.demo:
            demonstrate(HERE / "quickstart.ipynb", BUILD)
        else:
            refresh([HERE / f"{name.removesuffix('.ipynb')}.ipynb" for name in given.names or known])
    except NotebookFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
