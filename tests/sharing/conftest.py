"""A notebook as its author saves it: run on a real kernel, one change tried, then written to a file."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_optim.report import MIME_TYPE, Report
from tests.kernels import as_for_users

SETUP = """\
%load_ext jupyter_optim
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)).eval()
inputs = torch.randn(64, 256)


def pooled(scores):
    return scores.softmax(-1).mean(0)"""
RUN = """\
%%optimize model --into session
with torch.inference_mode():
    scores = model(inputs)
    summary = pooled(scores)
print(summary.shape)  # 50% of <this> & that_one costs $1"""
PRESS = """\
panel = session.panel
for name in ("prune-magnitude", "int8-dynamic"):
    panel.buttons[name].click()
    panel.wait()"""


@dataclass(frozen=True)
class Saved:
    """The file, and what its cell showed when it first ran."""

    path: Path
    runs: tuple[list, ...]
    """Outputs of the cell each time it ran, before anything was pressed."""

    @property
    def notebook(self) -> nbformat.NotebookNode:
        return nbformat.read(self.path, as_version=4)

    @property
    def bundle(self) -> dict:
        """The saved output with the report."""
        (found,) = (
            output.data for output in self.notebook.cells[1].outputs if MIME_TYPE in output.get("data", {})
        )
        return found

    @property
    def report(self) -> Report:
        return Report.from_json(json.dumps(self.bundle[MIME_TYPE]))


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Saved:
    """Run the cell twice, press two buttons, and save."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, RUN, PRESS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, kernel_name="python3", timeout=600, store_widget_state=False)
    runs = []
    with ExitStack() as stack:
        with as_for_users():
            stack.enter_context(client.setup_kernel())
        client.execute_cell(notebook.cells[0], 0)
        for _ in range(2):
            client.execute_cell(notebook.cells[1], 1)
            runs.append(copy.deepcopy(notebook.cells[1].outputs))
        client.execute_cell(notebook.cells[2], 2)
    path = tmp_path_factory.mktemp("saved") / "saved.ipynb"
    nbformat.write(notebook, path)
    return Saved(path, tuple(runs))
