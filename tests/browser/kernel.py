"""Pages and their kernels: what is run before there is one is lost."""

from __future__ import annotations

_CELL = ".jp-Notebook .jp-Cell"
_READY = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def until_kernel(page, cells: int = 2) -> None:
    """Wait until a notebook of so many cells is there, and its kernel has nothing to do."""
    page.locator(_CELL).nth(cells - 1).wait_for()
    page.wait_for_function(_READY)


def run_all(page, cells: int = 2) -> None:
    """Run all cells from the menu, once there is a kernel."""
    until_kernel(page, cells)
    page.locator(_CELL).first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
