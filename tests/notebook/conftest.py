"""Notebooks on a real kernel, as a user meets them."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.kernels import as_for_users

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Ran:
    """A cell that was run, and what stands below it."""

    failed: bool
    """Whether the kernel's reply said error, which is what stops *Run All*."""
    outputs: list[nbformat.NotebookNode]

    def stream(self, name: str) -> str:
        return "".join(
            each.text for each in self.outputs if each.output_type == "stream" and each.name == name
        )

    @property
    def printed(self) -> str:
        return self.stream("stdout")

    @property
    def result(self) -> str | None:
        found = [each.data["text/plain"] for each in self.outputs if each.output_type == "execute_result"]
        assert len(found) < 2
        return found[0] if found else None

    @property
    def tracebacks(self) -> list[str]:
        errors = [each for each in self.outputs if each.output_type == "error"]
        return [_ANSI.sub("", "\n".join(each.traceback)) for each in errors]

    def displays(self, mime: str) -> list:
        return [
            each.data[mime]
            for each in self.outputs
            if each.output_type == "display_data" and mime in each.data
        ]

    @property
    def html(self) -> str:
        return "\n".join(self.displays("text/html"))

    @property
    def plain(self) -> str:
        return "\n".join(self.displays("text/plain"))


class Notebook:
    """One kernel, and cells that are run on it one after the other."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client
        self._pid = int(self.run("import os; print(os.getpid())").printed)

    def run(self, source: str, *, interrupt_after_s: float | None = None) -> Ran:
        cell = nbformat.v4.new_code_cell(source)
        self._client.nb.cells.append(cell)
        if interrupt_after_s is not None:
            threading.Timer(interrupt_after_s, os.kill, (self._pid, signal.SIGINT)).start()
        try:
            self._client.execute_cell(cell, len(self._client.nb.cells) - 1)
        except CellExecutionError:
            return Ran(failed=True, outputs=cell.outputs)
        return Ran(failed=False, outputs=cell.outputs)

    def outputs_of(self, number: int) -> Ran:
        """What stands below an earlier cell by now; -1 is the newest."""
        return Ran(failed=False, outputs=self._client.nb.cells[number].outputs)


@pytest.fixture(scope="session")
def new_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A function that starts one more kernel; all end with the tests."""
    open_kernels = []

    def start() -> Notebook:
        where = str(tmp_path_factory.mktemp("notebook"))
        client = NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=180,
            kernel_name="python3",
            resources={"metadata": {"path": where}},
        )
        running = client.setup_kernel()
        with as_for_users():
            running.__enter__()
        open_kernels.append(running)
        return Notebook(client)

    yield start
    for running in open_kernels:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def faked(new_notebook) -> Notebook:
    """A notebook whose engine measures nothing: see `fake_engine`."""
    notebook = new_notebook()
    started = notebook.run(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "%load_ext jupyter_optim.notebook.magic\n"
        "import fake_engine; fake_engine.install()\n"
        "from fake_engine import Watch, fail\n"
        "import torch\n"
        "from torch import nn\n"
        "net = nn.Sequential(nn.Linear(2, 2))\n"
        "x = torch.ones(1, 2)"
    )
    assert not started.failed, started.outputs
    return notebook
