"""From the first run to the reader without a kernel, in a real front end with a real model."""

from __future__ import annotations

import pytest

from tests.browser.kernel import run_all, until_kernel

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
FOCUSED = """() => {
  const {role, localName, ariaLabel, textContent} = document.activeElement;
  return `${role ?? localName} ${ariaLabel ?? textContent.trim()}`;
}"""
STATUS = f"{PANEL} [role=status]"


def _run_all(page) -> None:
    run_all(page)
    page.locator(PANEL).wait_for()


def _press(page, name: str, *said: str) -> str:
    """Press a button, and wait until the panel says one of `said`."""
    page.locator(f"{PANEL} button", has_text=name).first.click()
    return _until_said(page, *said)


def _until_said(page, *said: str) -> str:
    found = " || ".join(f"text.includes({text!r})" for text in said)
    script = f"(() => {{const text = document.querySelector({STATUS!r})?.textContent ?? ''; return ({found}) && text}})()"
    return page.wait_for_function(script).json_value()


def _in_view(page, selector: str) -> bool:
    """Whether something stands within the part of the page that is seen."""
    script = "node => {const {top, bottom} = node.getBoundingClientRect(); return top >= 0 && bottom <= innerHeight}"
    return page.locator(selector).first.evaluate(script)


def _overflow(page, selector: str) -> int:
    """By how many pixels something is wider than the room it has."""
    return page.locator(selector).first.evaluate("node => node.scrollWidth - node.clientWidth")


@pytest.mark.parametrize(("width", "theme"), [(1400, "JupyterLab Light"), (700, "JupyterLab Dark")])
def test_from_first_run_to_undo(jupyter, reader, open_page, serious_faults, width, theme):
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
    report.get_by_role("img", name="What was tried").wait_for()
    # where the reader looks, though the report above has become another
    assert width < 1000 or _in_view(page, STATUS)
    page.keep_picture("2-verdict")
    assert serious_faults(page, ".jp-Notebook .jp-Cell:nth-child(2) .jp-OutputArea") == []
    # and the way back stands beside it
    if "kept." in verdict:
        assert _press(page, "Undo", "Undone: ") == "Undone: Quantize to int8."
        report.get_by_role("table", name="History").get_by_text("undone").wait_for()
        assert _press(page, "Redo", "Done again: ") == "Done again: Quantize to int8."
    page.get_by_text("Not for this model").click()
    page.locator(PANEL).get_by_text("it calls no 2-d or 3-d convolution").wait_for()
    assert _overflow(page, PANEL) <= 0
    page.keep_picture("3-undone")
    # WHEN it is saved and opened where no kernel is, THEN the report is there
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    _until_saved(jupyter, name)
    assert page.complaints == []
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
    assert page.complaints == []


def _until_saved(jupyter, name: str) -> None:
    import time

    until = time.monotonic() + 60
    while "jupyter-optim.report" not in (jupyter.folder / name).read_text():
        assert time.monotonic() < until, "the notebook was not saved"
        time.sleep(0.2)


@pytest.mark.parametrize(("width", "theme"), [(1400, "JupyterLab Light"), (700, "JupyterLab Dark")])
def test_cancel_in_the_middle_of_a_long_step_leaves_the_model_as_it_was(
    jupyter, open_page, serious_faults, width, theme
):
    # GIVEN a model that takes its time, and a step that is timed with it
    slow = MODEL.replace(
        "    def forward(self, x):\n", "    def forward(self, x):\n        time.sleep(0.1)\n"
    )
    name = f"cancel-{width}.ipynb"
    jupyter.write(name, [f"import time\n{slow}", CELLS[1], "model.body[0].weight.dtype"])
    page = open_page(jupyter, f"lab/tree/{name}?reset", width=width, theme=theme)
    if width < 1000:
        page.get_by_role("tab", name="File Browser").first.click()
    _run_all(page)
    page.get_by_text("[3]:").first.wait_for()
    cancel = page.locator(f"{PANEL} button", has_text="Cancel")
    assert "Timing, pair" in _press(page, "Use bfloat16", "Timing, pair")
    page.locator(f"{PANEL} progress").wait_for()
    page.keep_picture("1-busy")
    # WHEN another button is pressed, THEN it is told what goes on
    assert "Busy with Use bfloat16" in _press(page, "Quantize to int8", "Busy with")
    # WHEN Cancel is pressed, THEN it ends, nothing is in place, and the next step can be tried
    assert "Cancelled" in _press(page, "Cancel", "Cancelled")
    cancel.wait_for(state="hidden")
    assert serious_faults(page, PANEL) == []
    page.locator(".jp-Notebook .jp-Cell .jp-InputArea-editor").nth(2).click()
    page.keyboard.press("Control+Enter")
    page.get_by_text("[4]:").first.wait_for()
    assert "torch.float32" in page.locator(".jp-Notebook .jp-Cell").nth(2).inner_text()
    assert page.locator(f"{PANEL} button", has_text="Use bfloat16").is_enabled()
    assert page.complaints == []


def test_the_journey_with_the_keyboard_alone(jupyter, open_page):
    jupyter.write("keys.ipynb", CELLS)
    page = open_page(jupyter, "lab/tree/keys.ipynb?reset")
    until_kernel(page)
    # GIVEN a cell that is run by its shortcut
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Control+Enter")
    page.locator(PANEL).wait_for()
    report = page.locator(REPORT).first
    page.get_by_text("[2]:").first.wait_for()
    page.keyboard.press("Escape")
    # WHEN focus goes on from the cell, THEN it comes to the report: from tab to tab by arrows, and into the table
    _tab_to(page, "tab Modules")
    page.keyboard.press("ArrowRight")
    operators = report.get_by_role("table", name="Operators")
    assert operators.is_visible()
    _tab_to(page, "button Operator")
    page.keyboard.press("Enter")
    assert operators.get_by_role("columnheader", name="Operator").get_attribute("aria-sort") == "ascending"
    _tab_to(page, "tab Operators", back=True)
    page.keyboard.press("End")
    page.keyboard.press("Home")
    _tab_to(page, "summary Show as table")
    page.keyboard.press("Enter")
    report.get_by_role("table", name="Time by module").wait_for()
    # and to the controls, where a change is made and taken back
    _tab_to(page, "button Quantize to int8")
    page.keyboard.press("Enter")
    _until_said(page, "kept.", "left out")
    report.get_by_role("table", name="History").wait_for()
    page.keep_picture("1-verdict")
    _tab_to(page, "button Undo" if "kept." in page.locator(STATUS).inner_text() else "button Keep anyway")
    page.keyboard.press("Enter")
    _until_said(page, "Undone: ", "kept.")
    # all of that was no command of the notebook
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2
    assert page.complaints == []


def _tab_to(page, name: str, *, back: bool = False) -> None:
    """Go on with the Tab key until focus is on what this is: its role or tag, and how its name begins."""
    for _ in range(80):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate(FOCUSED).startswith(name):
            return
    pytest.fail(f"Tab does not come to {name!r}")


def test_a_report_follows_the_controls_after_the_page_was_loaded_anew(jupyter, open_page):
    jupyter.write("reload.ipynb", CELLS)
    page = open_page(jupyter, "lab/tree/reload.ipynb?reset")
    _run_all(page)
    page.get_by_text("[2]:").first.wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    _until_saved(jupyter, "reload.ipynb")
    # GIVEN the page, loaded anew while the kernel goes on
    page.reload()
    page.locator(f"{PANEL} button", has_text="Use bfloat16").wait_for()
    report = page.locator(REPORT).first
    assert report.get_by_role("table", name="History").count() == 0
    # WHEN a button is pressed, THEN the report above has what came of it, and once
    _press(page, "Use bfloat16", "kept.", "left out")
    report.get_by_role("table", name="History").get_by_text("Use bfloat16").wait_for()
    assert page.locator(REPORT).count() == 1


def test_the_controls_work_in_notebook_7(jupyter, open_page):
    jupyter.write("seven.ipynb", CELLS)
    page = open_page(jupyter, "notebooks/seven.ipynb")
    _run_all(page)
    assert "Classifier" in page.locator(REPORT).first.inner_text()
    assert "95% CI" in _press(page, "Quantize to int8", "kept.", "left out")
    page.keep_picture("1-verdict")
