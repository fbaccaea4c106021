"""Take the picture of the README: the quickstart in a real JupyterLab, after a click on its best button.

``python docs/make_pictures.py`` writes docs/quickstart-light.png; ``--theme dark --folder .`` another one
elsewhere. The picture has parts of the cell's output before and after the click; what stands between them is cut out,
and seams show that.
"""
# ruff: noqa: INP001 (a script)

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import BrowserType, Locator, Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.browser.conftest import CHROMIUM, Jupyter  # noqa: E402 (found from here on)

QUICKSTART = HERE.parent / "example_notebooks" / "quickstart.ipynb"
LAST_CELL = "optimize"
BUTTON = "Quantize to int8"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTH, HEIGHT, SCALE = 1120, 1000, 1.25
HIGH = 4000
"""A page on which the whole cell stands."""
OFFERS, SEAM, MARGIN = 3, 40, 8
"""Buttons of the panel to show; pixels between two parts, and about each."""
PATIENCE_MS = 600_000
REPORT = ".jp-JupyterOptimReport, .jupyter-optim-report"
OVERVIEW = ".jp-JupyterOptimReport-overview"
PANEL = ".jupyter-optim-panel"
STANDS_STILL = """async () => {
  const cell = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].pop();
  cell.scrollIntoView({block: 'start'});
  let before = '';
  for (let same = 0; same < 30;) {
    await new Promise(requestAnimationFrame);
    const {top, height} = cell.getBoundingClientRect();
    same = before === `${top} ${height}` ? same + 1 : 0;
    before = `${top} ${height}`;
  }
}"""


def shortened(path: Path, last_cell: str) -> nbformat.NotebookNode:
    """The notebook up to `last_cell`, without outputs: what comes after is done in the browser."""
    notebook = nbformat.read(path, as_version=4)
    end = next(i for i, cell in enumerate(notebook.cells) if cell.id == last_cell)
    notebook.cells = notebook.cells[: end + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def run(page: Page) -> None:
    """Run all cells, until the buttons are there."""
    page.get_by_text("Python 3 (ipykernel)").locator("visible=true").first.wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(PANEL).wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.set_viewport_size({"width": WIDTH, "height": HIGH})


def press(page: Page, button: str) -> None:
    """Press `button`, and wait for its verdict and for the report that follows from it."""
    page.locator(f"{PANEL} button", has_text=button).first.click()
    page.wait_for_function(
        f"(() => {{const said = document.querySelector('{PANEL} [role=status]')?.innerText ?? '';"
        " return said.includes('kept.') || said.includes('left out')})()"
    )
    page.locator(REPORT).last.get_by_role("img", name="What was tried").wait_for()


def before(page: Page) -> Iterator[Image.Image]:
    """The code with its marks, the report's charts and its modules, and what would help."""
    report, panel = page.locator(REPORT).last, page.locator(PANEL)
    cell = page.locator(".jp-Notebook .jp-CodeCell").last
    yield shot(page, cell, report.locator(OVERVIEW))
    yield shot(
        page,
        report.get_by_role("tablist"),
        report.locator("[role=tabpanel] .jp-JupyterOptimReport-plot").first,
    )
    offers = panel.locator("button:enabled", has_text="predicted")
    yield shot(page, offers.first, panel.get_by_text("Risk:").nth(OFFERS - 1))


def after(page: Page, button: str) -> Iterator[Image.Image]:
    """What came of a press, and the report that follows the model."""
    report, panel = page.locator(REPORT).last, page.locator(PANEL)
    yield shot(page, panel.locator("button", has_text=button).first, panel.get_by_role("button", name="Undo"))
    yield shot(page, report.locator(".jp-JupyterOptimReport-head"), report.locator(OVERVIEW))


def shot(page: Page, first: Locator, last: Locator) -> Image.Image:
    """The last cell from the top of one of its parts to the end of another."""
    page.keyboard.press("Escape")
    page.mouse.move(0, 0)
    page.evaluate(STANDS_STILL)
    cell, top, end = (
        each.bounding_box() for each in (page.locator(".jp-Notebook .jp-CodeCell").last, first, last)
    )
    if cell is None or top is None or end is None:
        sys.exit("the report does not look as this script expects it: see `before` and `after`")
    y = top["y"] - MARGIN
    clip = {"x": cell["x"], "y": y, "width": cell["width"], "height": end["y"] + end["height"] + MARGIN - y}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]


def joined(shots: list[Image.Image]) -> Image.Image:
    """The shots one below the other, a dashed seam between them, in 256 colours."""
    height = sum(shot.height for shot in shots) + SEAM * (len(shots) - 1)
    whole = Image.new(
        "RGB", (shots[0].width, height), shots[0].getpixel((shots[0].width - 2, shots[0].height - 2))
    )
    top = 0
    for number, shot in enumerate(shots):
        whole.paste(shot, (0, top))
        top += shot.height + SEAM
        if number < len(shots) - 1:
            for x in range(0, whole.width, 14):
                whole.paste((158, 158, 158), (x, top - SEAM // 2, x + 7, top - SEAM // 2 + 2))
    return whole.quantize(256, dither=Image.Dither.NONE)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Take the picture of the README.")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to (default: docs/)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "notebooks", Path(place) / "home"
        folder.mkdir()
        nbformat.write(shortened(QUICKSTART, LAST_CELL), folder / QUICKSTART.name)
        server = Jupyter(folder, home)
        server.set_theme(f"JupyterLab {given.theme.title()}")
        try:
            server.wait()
            with sync_playwright() as playwright:
                shots = taken(playwright.chromium, f"{server.address}/lab/tree/{QUICKSTART.name}?reset")
        finally:
            server.stop()
    joined(shots).save(given.folder / f"quickstart-{given.theme}.png", optimize=True)


def taken(chromium: BrowserType, address: str) -> list[Image.Image]:
    """The parts of the picture."""
    browser = chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.get_by_role("tab", name="File Browser").first.click()
    run(page)
    shots = list(before(page))
    press(page, BUTTON)
    shots += after(page, BUTTON)
    browser.close()
    return shots


if __name__ == "__main__":
    main()
