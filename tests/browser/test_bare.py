"""A received notebook where neither a kernel nor the extension is: JupyterLab and Notebook 7 as they come."""

from __future__ import annotations

import nbformat
import pytest

from jupyter_optim.render import format as fmt
from jupyter_optim.render import to_bundle
from jupyter_optim.render.listing import in_cell
from tests.render import samples

pytestmark = pytest.mark.browser

REPORT = ".jupyter-optim-report"


@pytest.fixture(scope="module")
def received(reader):
    """The name of a notebook that holds a report with a history."""
    output = nbformat.v4.new_output("display_data", to_bundle(samples.bert_after(), samples.bert()))
    cell = nbformat.v4.new_code_cell(samples.bert().cell, outputs=[output], execution_count=3)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), reader.folder / "bare.ipynb")
    return "bare.ipynb"


@pytest.mark.parametrize(
    ("place", "width", "theme"),
    [
        ("lab/tree/{}?reset", 1400, "JupyterLab Light"),
        ("lab/tree/{}?reset", 700, "JupyterLab Dark"),
        ("notebooks/{}", 1400, "JupyterLab Dark"),
        ("notebooks/{}", 700, "JupyterLab Light"),
    ],
)
def test_all_of_it_is_there(reader, open_page, received, place, width, theme):
    with reader.without_extension():
        page = open_page(reader, place.format(received), width=width, theme=theme)
        report = page.locator(REPORT)
        report.wait_for()
    no_kernel = page.get_by_role("dialog").get_by_role("button", name="No Kernel")
    no_kernel.or_(page.get_by_role("dialog").get_by_role("button", name="Cancel")).first.click()
    # the html, not the extension's drawing, nor the form for print
    assert page.locator(".jp-JupyterOptimReport").count() == 0
    assert page.locator(".jp-OutputArea-child").count() == 1
    assert "verbatim" not in page.locator(".jp-OutputArea").inner_text()
    said = " ".join(report.inner_text().replace("\u00a0", " ").split())
    after = samples.bert_after()
    assert fmt.duration(after.latency.median_ms) in said
    for line in in_cell(after):
        assert " ".join(line.text.split()) in said
        assert fmt.duration(line.ms) in said
    assert report.get_by_role("row").filter(has_text="hot").count() >= 1
    for step in after.history:
        assert step.label in said
        assert step.verdict in said
    drawn = report.locator("img").first.evaluate("image => image.complete && image.naturalWidth")
    assert drawn > 0
    # what is folded opens without a kernel
    report.get_by_text("What was measured", exact=True).first.click()
    report.get_by_role("table", name="What was measured").wait_for()
    page.keep_picture("bare")
