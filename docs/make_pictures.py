"""Take the picture of the README: the quickstart in a real JupyterLab, after a click on its best button.

``python docs/make_pictures.py`` writes docs/quickstart-light.png; ``--theme dark --folder .`` another one
elsewhere. The picture has the top of the cell's output and its history with the controls; what stands between them
is cut out, and the seam shows that.
"""
# ruff: noqa: INP001 (a script)

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parent / "example_notebooks" / "quickstart.ipynb"
LAST_CELL = "optimize"
BUTTON = "Quantize to int8"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTH, HEIGHT, SCALE = 1120, 1000, 1.25
ROWS, SEAM = 4, 40
"""Rows of the tree of modules to show, and pixels between the two parts."""
PATIENCE_MS = 300_000
REPORT = ".jp-JupyterOptimReport, .jupyter-optim-report"
PANEL = ".jupyter-optim-panel"


@contextmanager
def jupyterlab(folder: Path, theme: str) -> Iterator[str]:
    """A JupyterLab of its own that serves `folder`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder.with_name("home")
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": f"JupyterLab {theme.title()}"}))
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false"}))
    options = [
        f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        "--IdentityProvider.token=", "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    server = subprocess.Popen(
        command, env={**environment, "HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, server)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()  # noqa: S310 (our own server)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    sys.exit("JupyterLab did not start")


def shortened(path: Path, last_cell: str) -> nbformat.NotebookNode:
    """The notebook up to `last_cell`, without outputs: what comes after is done in the browser."""
    notebook = nbformat.read(path, as_version=4)
    end = next(i for i, cell in enumerate(notebook.cells) if cell.id == last_cell)
    notebook.cells = notebook.cells[: end + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def run_and_press(page: Page, button: str) -> None:
    """Run all cells, press `button`, and wait for its verdict."""
    page.get_by_text("Python 3 (ipykernel)").locator("visible=true").first.wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(PANEL).wait_for()
    page.locator(f"{PANEL} button", has_text=button).first.click()
    page.wait_for_function(
        f"(() => {{const said = document.querySelector('{PANEL} [role=status]')?.innerText ?? '';"
        " return said.includes('kept.') || said.includes('left out')})()"
    )


def take(page: Page, path: Path) -> None:
    """The cell from its code to the modules, and from the history to the way back."""
    page.keyboard.press("Escape")
    page.mouse.move(0, 0)
    page.set_viewport_size({"width": WIDTH, "height": 4000})  # so that the whole cell is on the page
    page.wait_for_timeout(2000)
    page.locator(".jp-Notebook .jp-CodeCell").last.evaluate("node => node.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(1000)
    cell = page.locator(".jp-Notebook .jp-CodeCell").last.bounding_box()
    report = page.locator(REPORT).last
    ends = report.locator("[role=treegrid] tbody tr").nth(ROWS).bounding_box()
    history = report.locator("h4", has_text="History").bounding_box()
    undo = page.locator(f"{PANEL} button", has_text="Undo").bounding_box()
    if cell is None or ends is None or history is None or undo is None:
        sys.exit("the report does not look as this script expects it: see `take`")
    parts = [(cell["y"], ends["y"]), (history["y"] - 8, undo["y"] + undo["height"] + 12)]
    shots = [
        page.screenshot(clip={"x": cell["x"], "y": top, "width": cell["width"], "height": bottom - top})
        for top, bottom in parts
    ]
    joined([Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]).save(path, optimize=True)


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
        folder = Path(place) / "notebooks"
        folder.mkdir()
        nbformat.write(shortened(QUICKSTART, LAST_CELL), folder / QUICKSTART.name)
        with jupyterlab(folder, given.theme) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            view = {"width": WIDTH, "height": HEIGHT}
            page = browser.new_page(viewport=view, device_scale_factor=SCALE)  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{address}/lab/tree/{QUICKSTART.name}?reset")
            page.get_by_role("tab", name="File Browser").first.click()
            run_and_press(page, BUTTON)
            take(page, given.folder / f"quickstart-{given.theme}.png")
            browser.close()


if __name__ == "__main__":
    main()
