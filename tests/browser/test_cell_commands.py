"""A cell is optimized from its toolbar, and its report is worked with by commands."""

from __future__ import annotations

import re

import pytest

from tests.browser.kernel import until_kernel

pytestmark = pytest.mark.browser

MODEL = """\
import torch
from torch import nn
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
images = torch.randn(64, 64)
"""
CELLS = [MODEL, "with torch.no_grad():\n    scores = model(images)\nscores.shape", "%%time\n1 + 1"]
CELL = ".jp-Notebook .jp-Cell"
REPORT = ".jp-JupyterOptimReport"
PANEL = ".jupyter-optim-panel"


@pytest.fixture
def page(jupyter, open_page):
    """A notebook that knows nothing of this package; its model exists."""
    jupyter.write("commands.ipynb", CELLS)
    page = open_page(jupyter, "lab/tree/commands.ipynb?reset")
    until_kernel(page, len(CELLS))
    _edit(page, "import torch")
    page.keyboard.press("Control+Enter")
    _cell(page, "import torch").get_by_text("[1]:").first.wait_for()
    return page


def _cell(page, text: str):
    return page.locator(CELL).filter(has=page.locator(".cm-line", has_text=text))


def _edit(page, text: str) -> None:
    page.locator(f"{CELL} .cm-line", has_text=text).first.click()


def _choose(page, cell, name: str) -> None:
    """Choose from the context menu of a cell."""
    cell.locator(".cm-line").first.click(button="right")
    page.get_by_role("menuitem", name=name).click()


def _button(cell):
    return cell.get_by_role("button", name="Optimize this cell")


def _texts(page) -> list[str]:
    return [
        "\n".join(each.locator(".cm-line").all_text_contents()).strip() for each in page.locator(CELL).all()
    ]


def test_a_cell_is_optimized_and_its_report_worked_with(page):
    # GIVEN another cell magic, THEN the button is there and cannot be pressed
    _edit(page, "%%time")
    assert _button(_cell(page, "%%time")).get_attribute("aria-disabled") == "true"
    # WHEN the button is pressed, THEN the magic and a cell that loads it are there, and the report is, too
    _edit(page, "scores = model")
    cell = _cell(page, "scores = model")
    _button(cell).click()
    page.locator(PANEL).wait_for()
    before, load, optimized, _ = _texts(page)
    assert before == MODEL.strip()
    assert load == "%load_ext jupyter_optim"
    assert optimized == f"%%optimize\n{CELLS[1]}"
    assert cell.locator(".jp-JupyterOptim-line", has_text="scores = model").count() == 1
    page.keep_picture("1-optimized")
    # WHEN there is no code to insert yet, THEN it says so; and when there is, it is a cell of plain PyTorch
    _choose(page, cell, "Insert code")
    page.get_by_role("alert").filter(has_text="No change is in place in Sequential").wait_for()
    page.keyboard.press("Escape")
    page.locator(f"{CELL} .cm-line", has_text="1 + 1").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("import jupyter_optim as jo; jo.current().apply('bf16', keep='always').accepted")
    page.keyboard.press("Control+Enter")
    page.locator(f"{CELL} .jp-OutputArea-output", has_text=re.compile("^True$")).wait_for()
    _choose(page, cell, "Insert code")
    page.locator(f"{CELL} .cm-line", has_text="torch.bfloat16").first.wait_for()
    assert "bfloat16" in _texts(page)[3]
    page.keep_picture("2-code")
    # WHEN the report is compared with that of another cell, THEN a view of its own says what changed
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("c")
    page.keyboard.press("v")
    page.wait_for_function(f"document.querySelectorAll('{REPORT}').length === 2")
    _choose(page, cell.nth(1), "Compare two reports")
    page.get_by_role("tab", name=re.compile("Reports of")).wait_for()
    compared = page.locator(".jp-JupyterOptim-comparison")
    compared.get_by_role("table").first.wait_for()
    assert "Sequential" in compared.inner_text()
    page.keep_picture("3-compared")
    # WHEN the report is removed, THEN the cell is as it was, its own output included
    _choose(page, cell.first, "Remove %%optimize")
    page.wait_for_function(f"document.querySelectorAll('{REPORT}').length === 1")
    assert _texts(page)[2] == CELLS[1]
    assert not cell.first.locator(".jp-JupyterOptim-line").count()
    assert "torch.Size([64, 10])" in cell.first.inner_text()
    page.keep_picture("4-removed")
