"""Marks on the lines that cost the time: read without a kernel, and followed through edits."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_optim.report import MIME_TYPE

pytestmark = pytest.mark.browser

MODEL = """\
%load_ext jupyter_optim
import torch
from torch import nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x):
        return self.body(x)

model = Classifier().eval()
images = torch.randn(64, 64)
"""
CELLS = [MODEL, "%%optimize\nwith torch.no_grad():\n    scores = model(images)\nscores.shape"]
CALL, CALLED = "scores = model(images)", "return self.body(x)"
LINE, GUTTER, DETAILS = ".jp-JupyterOptim-line", ".jp-JupyterOptim-gutter", ".jp-JupyterOptim-details"
CELL = ".jp-Notebook .jp-Cell"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A notebook that was run and saved elsewhere."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    file = tmp_path_factory.mktemp("measured") / "marks.ipynb"
    nbformat.write(notebook, file)
    return file


@pytest.fixture
def open_measured(reader, measured, open_page):
    def opened(name: str, app: str = "lab/tree", *, trust: bool = False, **options):
        reader.receive(measured, name, trust=trust)
        reset = "?reset" if app.startswith("lab") else ""
        page = open_page(reader, f"{app}/{name}{reset}", **options)
        page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
        _marked(page, CALL).wait_for()
        return page

    return opened


def _marked(page, text: str):
    return page.locator(f"{CELL} {LINE}", has_text=text)


def _faded(page, text: str):
    return page.locator(f"{CELL} {LINE}.jp-mod-stale", has_text=text)


def _place_cursor(page, text: str) -> None:
    page.locator(f"{CELL} .cm-line", has_text=text).first.click()


@pytest.mark.parametrize(
    ("width", "theme", "trust"), [(1400, "JupyterLab Light", False), (700, "JupyterLab Dark", True)]
)
def test_a_saved_notebook_shows_its_marks_without_a_kernel(open_measured, width, theme, trust):
    page = open_measured(f"marks-{width}.ipynb", trust=trust, width=width, theme=theme)
    # the cell's own line and that of the cell above which it calls, with figures as text
    assert _marked(page, CALLED).count() == 1
    figures = page.locator(f"{CELL} {GUTTER}").all_inner_texts()
    assert len(figures) == page.locator(f"{CELL} {LINE}").count()
    assert all("%" in figure and figure.split()[1] in {"ms", "µs"} for figure in figures)
    page.keep_picture("1-opened")
    # the pointer opens the details of a line
    _marked(page, CALLED).hover()
    details = page.get_by_role("tooltip").filter(has_text="of the run")
    details.wait_for()
    box = details.bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    words = details.inner_text()
    assert "In the run of cell [2]" in words
    assert "aten::addmm" in words
    assert "body.0 (Linear)" in words
    assert "Bytes" in words
    assert "Bound" in words
    page.keep_picture("2-pointed")
    page.keyboard.press("Escape")
    details.wait_for(state="detached")
    # and so does the keyboard, from one marked line to the next
    page.locator(CELL).first.click(position={"x": 5, "y": 5})
    page.keyboard.press("Alt+Shift+M")
    details.filter(has_text="In the run of cell [2]").wait_for()
    spoken = page.locator(f"{CELL} .cm-announced", has_text="aten::addmm")
    assert "body.0 (Linear)" in spoken.text_content()
    walked = [details.inner_text()]
    for _ in figures[1:]:
        page.keyboard.press("Alt+Shift+M")
        page.wait_for_function(
            f"last => ![null, last].includes(document.querySelector('{DETAILS}')?.innerText ?? null)",
            arg=walked[-1],
        )
        walked.append(details.inner_text())
    assert len(set(walked)) == len(figures)
    assert any("in other lines, which it calls" in words for words in walked)
    page.keep_picture("3-by-keyboard")
    page.keyboard.press("Escape")
    details.wait_for(state="detached")


def test_marks_follow_what_is_done_to_the_cell(open_measured):
    page = open_measured("edited.ipynb")
    # WHEN a marked line is edited, THEN it is marked no more; undone, it is
    _place_cursor(page, CALL)
    page.keyboard.press("End")
    page.keyboard.type(" + 1")
    _marked(page, CALL).wait_for(state="detached")
    for _ in range(4):
        page.keyboard.press("Control+z")
        if _marked(page, CALL).count():
            break
    assert not _faded(page, CALL).count()
    # WHEN a line is put above, THEN the mark goes down with its own, and fades
    _place_cursor(page, "%%optimize")
    page.keyboard.press("End")
    page.keyboard.type("\nfactor = 2")
    _faded(page, CALL).wait_for()
    page.keep_picture("1-faded")
    assert _marked(page, CALLED).count() == 1
    assert not _faded(page, CALLED).count()
    # WHEN the cell is copied and moved, THEN its marks come with it
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.press("v")
    page.wait_for_function(f"document.querySelectorAll('{CELL}').length === 3")
    page.wait_for_function(
        f"[...document.querySelectorAll('{CELL} {LINE}')].filter(line => line.textContent.includes('{CALL}')).length === 2"
    )
    page.keyboard.press("Control+Shift+ArrowUp")
    page.keyboard.press("Control+Shift+ArrowUp")
    page.locator(CELL).first.locator(LINE, has_text=CALL).wait_for()
    # WHEN marks are switched off, THEN there are none, and they come back
    for there in ("detached", "attached"):
        page.keyboard.press("Control+Shift+c")
        page.locator(".lm-CommandPalette-input:visible").fill("Show Line Marks")
        page.keyboard.press("Enter")
        page.locator(f"{CELL} {LINE}").first.wait_for(state=there)
    # WHEN the outputs are cleared, THEN the marks go, also those of the cell that was called
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.get_by_role("menuitem", name="Clear Outputs of All Cells", exact=True).click()
    page.locator(f"{CELL} {LINE}").first.wait_for(state="detached")
    assert not page.locator(f"{CELL} {GUTTER}").count()


def test_broken_reports_take_no_marks_from_others(reader, measured, open_page):
    # GIVEN a notebook in which reports of other cells are none, of another version, or of lines that are nowhere
    notebook = nbformat.read(measured, as_version=4)
    output = next(each for each in notebook.cells[1].outputs if MIME_TYPE in each.get("data", {}))
    report = output["data"][MIME_TYPE]
    nowhere = [{**line, "lineno": number} for line in report["lines"] for number in (-1, 0, 10**9)]
    elsewhere = [{**line, "source": "cell [-1]", "share": 10**300} for line in report["lines"]]
    broken = ["no report", {}, {**report, "schema_version": 99}, {**report, "lines": [None]}]
    odd = [{**report, "lines": nowhere + elsewhere}, {**report, "lines": nowhere, "cell": None}]
    notebook.cells += [
        nbformat.v4.new_code_cell(
            "other(images)", outputs=[nbformat.v4.new_output("display_data", {MIME_TYPE: each})]
        )
        for each in broken + odd
    ]
    nbformat.write(notebook, reader.folder / "broken.ipynb")
    # WHEN it is opened
    page = open_page(reader, "lab/tree/broken.ipynb?reset")
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    # THEN the good report's marks are there with their details, and no others
    _marked(page, CALL).wait_for()
    _marked(page, CALLED).hover()
    page.get_by_role("tooltip").filter(has_text="In the run of cell [2]").wait_for()
    assert _marked(page, "other(images)").count() == 0
    assert page.complaints == []


def test_notebook_7_shows_the_marks(open_measured):
    page = open_measured("seven-marks.ipynb", "notebooks")
    assert _marked(page, CALLED).count() == 1
    page.keep_picture("1-opened")
