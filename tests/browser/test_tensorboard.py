"""From the panel to TensorBoard's page, and what changed by the keyboard alone."""

from __future__ import annotations

import pytest

from tests.browser.kernel import run_all

pytest.importorskip("tensorboard")
pytest.importorskip("torch_tb_profiler")
pytestmark = pytest.mark.browser

MODEL = """\
%load_ext jupyter_optim
import torch
from torch import nn
model = nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 10)).eval()
images = torch.randn(64, 512)
"""
CELLS = [
    MODEL,
    "%%optimize --into session\nwith torch.no_grad():\n    model(images)",
    "session.apply('int8-dynamic', keep='always');",
]
PANEL = ".jupyter-optim-panel"


@pytest.fixture
def page(jupyter, open_page):
    """A notebook in which a change stands."""
    jupyter.write("tensorboard.ipynb", CELLS)
    page = open_page(jupyter, "lab/tree/tensorboard.ipynb?reset", width=1400, theme="JupyterLab Light")
    run_all(page, len(CELLS))
    page.locator(f"{PANEL} .jupyter-optim-changes").wait_for()
    return page


def test_what_changed_opens_by_the_keyboard_and_the_trace_in_a_new_tab(page):
    changes = page.locator(f"{PANEL} .jupyter-optim-changes").first
    assert "Linear layers became" in changes.inner_text()
    assert not changes.get_by_text("Within noise: ").is_visible()
    changes.locator("summary").first.focus()
    page.keyboard.press("Enter")
    changes.get_by_text("Within noise: ").wait_for()
    page.keep_picture("1-what-changed")
    page.get_by_role("button", name="Open in TensorBoard").click()
    link = page.locator(f"{PANEL} a[href*=pytorch_profiler]")
    link.wait_for()
    page.keep_picture("2-link")
    with page.context.expect_page() as opened:
        link.click()
    viewer = opened.value
    viewer.frame_locator("iframe").get_by_text("1-int8-dynamic").first.wait_for()
    page.get_by_role("button", name="Stop TensorBoard").click()
    link.wait_for(state="detached")
