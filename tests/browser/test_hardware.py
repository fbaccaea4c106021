"""The hardware panel and its short form in the status bar, in a real JupyterLab with a real kernel."""

from __future__ import annotations

import re

import pytest

from tests.browser.kernel import until_kernel

pytestmark = pytest.mark.browser

BUSY = "import time\nuntil = time.time() + 6\nwhile time.time() < until: pass"
WITHOUT_PACKAGE = """\
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name == "jupyter_optim":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nowhere())"""
SHOW = "Show Hardware of the Kernel's Machine"
REGION = "Hardware of the kernel's machine"
SPARKS = ("CPU, whole machine", "CPU, this kernel", "Memory, whole machine", "Memory, this kernel")


def _run(page, cell: int) -> None:
    page.locator(".jp-Notebook .jp-Cell .jp-InputArea-editor").nth(cell).click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run Selected Cell( Shift|$)")).click()


def _panel(page):
    return page.get_by_role("region", name=REGION)


def _until_live(page) -> None:
    for name in SPARKS:
        _panel(page).get_by_role("img", name=name).wait_for()
    _panel(page).get_by_role("status").filter(has_text="kernel").wait_for(state="detached")


@pytest.mark.parametrize(("width", "theme"), [(1400, "JupyterLab Light"), (700, "JupyterLab Dark")])
def test_the_panel_follows_the_kernel_through_a_busy_time_and_a_restart(
    jupyter, open_page, serious_faults, width, theme
):
    jupyter.write(f"hardware-{width}.ipynb", [BUSY, "1"])
    page = open_page(jupyter, f"lab/tree/hardware-{width}.ipynb?reset", width=width, theme=theme)
    until_kernel(page)
    if width < 1000:
        page.get_by_role("tab", name="File Browser").first.click()
    # GIVEN the short form in the status bar, WHEN it is clicked, THEN the panel opens
    short = page.get_by_role("button", name=re.compile(r"^CPU \d+% +Memory [\d.]+ of [\d.]+ GB"))
    short.click()
    _until_live(page)
    page.keep_picture("1-idle")
    # WHEN a cell keeps the kernel busy, THEN figures go on, and the cell has a band
    _run(page, 0)
    cells = _panel(page).get_by_role("img", name=re.compile(r"cell \[1\], running"))
    cells.wait_for()
    busy = _panel(page).locator("[data-sensor=process_cpu] strong")
    page.wait_for_function("text => text.textContent.match(/^\\d{2,}%/)", arg=busy.element_handle())
    page.keep_picture("2-busy")
    assert serious_faults(page, f'[aria-label="{REGION}"]') == []
    _panel(page).get_by_role("img", name=re.compile(r"cell \[1\], [\d.]+ s$")).wait_for()
    # WHEN the kernel restarts, THEN figures of the new one come, without the old one's cells
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    _panel(page).get_by_role("img", name="No cell ran in the last two minutes").wait_for()
    _until_live(page)
    page.keep_picture("3-restarted")
    # nothing sticks out
    assert _panel(page).evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    assert page.complaints == []


def _show(page) -> None:
    page.get_by_role("menuitem", name="View", exact=True).click()
    page.get_by_role("menuitem", name=SHOW).click()
    _panel(page).wait_for()


def test_in_notebook_7_the_package_may_come_later_and_the_panel_beside_a_running_cell(jupyter, open_page):
    jupyter.write("hardware-seven.ipynb", [WITHOUT_PACKAGE, "del sys.meta_path[0]", BUSY])
    page = open_page(jupyter, "notebooks/hardware-seven.ipynb")
    until_kernel(page)
    # GIVEN a kernel without the package, WHEN the panel is shown, THEN it says how to get it
    _run(page, 0)
    page.get_by_text("[1]:").wait_for()
    _show(page)
    _panel(page).get_by_text("%pip install jupyter-optim").wait_for()
    page.keep_picture("1-missing")
    # WHEN it is there, THEN another try succeeds
    _run(page, 1)
    page.get_by_text("[2]:").wait_for()
    _panel(page).get_by_role("button", name="Try again").click()
    _until_live(page)
    # WHEN it is hidden, and shown again while a cell runs, THEN figures come at once
    page.get_by_role("button", name="Collapse right side panel").click()
    _panel(page).wait_for(state="hidden")
    _run(page, 2)
    page.get_by_text("[*]:").wait_for()
    _show(page)
    _panel(page).get_by_role("img", name=re.compile(r"cell \[3\], running")).wait_for()
    page.keep_picture("2-beside")
