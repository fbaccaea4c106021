"""From the first run to the reader without a kernel, in a real front end with a real model."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

MODEL = """\
%load_ext jupyter_optim
import torch
from torch import nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU())
        self.head = nn.Linear(2048, 10)

    def forward(self, x):
        return self.head(self.body(x))

model = Classifier().eval()
images = torch.randn(64, 512)
"""
CELLS = [MODEL, "%%optimize\nwith torch.no_grad():\n    scores = model(images)\nscores.shape"]
REPORT = ".jupyter-optim-report, .jp-JupyterOptimReport"
PANEL = ".jupyter-optim-panel"
STATUS = f"{PANEL} [role=status]"


def _run_all(page) -> None:
    page.locator(".jp-Notebook .jp-Cell").nth(1).wait_for()
    # the kernel's name stands in the toolbar, once there is a kernel to run on
    page.get_by_text("Python 3 (ipykernel)").locator("visible=true").first.wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(PANEL).wait_for()


def _press(page, name: str, *said: str) -> str:
    """Press a button, and wait until the panel says one of `said`."""
    page.locator(f"{PANEL} button", has_text=name).first.click()
    found = " || ".join(f"text.includes({text!r})" for text in said)
    script = f"(() => {{const text = document.querySelector({STATUS!r})?.textContent ?? ''; return ({found}) && text}})()"
    return page.wait_for_function(script).json_value()


def _overflow(page, selector: str) -> int:
    """By how many pixels something is wider than the room it has."""
    return page.locator(selector).first.evaluate("node => node.scrollWidth - node.clientWidth")


@pytest.mark.parametrize(("width", "theme"), [(1400, "JupyterLab Light"), (700, "JupyterLab Dark")])
def test_from_first_run_to_undo(jupyter, reader, open_page, width, theme):
    # GIVEN a notebook as a newcomer writes it
    name = f"journey-{width}.ipynb"
    jupyter.write(name, CELLS)
    page = open_page(jupyter, f"lab/tree/{name}?reset", width=width, theme=theme)
    if width < 1000:
        page.get_by_role("tab", name="File Browser").first.click()
    # WHEN it runs, THEN the report and the controls stand below the cell, and nothing sticks out
    _run_all(page)
    report = page.locator(REPORT).first
    assert "Classifier" in report.inner_text()
    assert "ms" in report.inner_text()
    assert "interrupt the kernel" not in page.locator(".jp-Notebook").inner_text()
    assert _overflow(page, PANEL) <= 0
    page.keep_picture("1-report")
    # WHEN a technique is pressed, THEN the verdict appears in the panel, and the report has it, too
    verdict = _press(page, "Quantize to int8", "kept.", "left out")
    assert "95% CI" in verdict
    report.get_by_text("History").first.wait_for()
    page.keep_picture("2-verdict")
    # and the way back stands beside it
    if "kept." in verdict:
        assert _press(page, "Undo", "Undone: ") == "Undone: Quantize to int8."
        assert _press(page, "Redo", "Done again: ") == "Done again: Quantize to int8."
    page.get_by_text("Not for this model").click()
    page.locator(PANEL).get_by_text("it calls no 2-d or 3-d convolution").wait_for()
    assert _overflow(page, PANEL) <= 0
    page.keep_picture("3-undone")
    # WHEN it is saved and opened where no kernel is, THEN the report is there
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    _until_saved(jupyter, name)
    for trust in (True, False):
        received = f"received-{width}-{trust}.ipynb"
        reader.receive(jupyter.folder / name, received, trust=trust)
        _read(open_page(reader, f"lab/tree/{received}?reset", width=width, theme=theme), trust)


def _read(page, trust: bool) -> None:
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    report = page.locator(REPORT).first
    report.wait_for()
    assert "Classifier" in report.inner_text()
    assert "History" in report.inner_text()
    outputs = page.locator(".jp-OutputArea-child").filter(has=page.locator(REPORT))
    assert outputs.count() == 1
    assert "Loading widget" not in outputs.inner_text()
    page.keep_picture(f"4-reader-{'trusted' if trust else 'untrusted'}")


def _until_saved(jupyter, name: str) -> None:
    import time

    until = time.monotonic() + 60
    while "jupyter-optim.report" not in (jupyter.folder / name).read_text():
        assert time.monotonic() < until, "the notebook was not saved"
        time.sleep(0.2)


def test_a_click_can_be_cancelled_from_the_keyboard(jupyter, open_page):
    jupyter.write("cancel.ipynb", CELLS)
    page = open_page(jupyter, "lab/tree/cancel.ipynb?reset")
    _run_all(page)
    # GIVEN focus on a button, WHEN Enter is pressed, THEN its work starts
    page.locator(f"{PANEL} button", has_text="Quantize to int8").focus()
    page.keyboard.press("Enter")
    cancel = page.locator(f"{PANEL} button", has_text="Cancel")
    cancel.wait_for()
    page.locator(f"{PANEL} progress").wait_for()
    page.keep_picture("1-busy")
    # a second click is told so, and Cancel stops the first
    assert "Busy with Quantize to int8" in _press(page, "Use bfloat16", "Busy with")
    assert "Cancelled" in _press(page, "Cancel", "Cancelled")
    cancel.wait_for(state="hidden")


def test_the_controls_work_in_notebook_7(jupyter, open_page):
    jupyter.write("seven.ipynb", CELLS)
    page = open_page(jupyter, "notebooks/seven.ipynb")
    _run_all(page)
    assert "Classifier" in page.locator(REPORT).first.inner_text()
    assert "95% CI" in _press(page, "Quantize to int8", "kept.", "left out")
    page.keep_picture("1-verdict")
