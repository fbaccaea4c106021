"""A saved report in a real JupyterLab, without a kernel and without trust."""

from __future__ import annotations

import json

import nbformat
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.render import headline
from jupyter_optim.report import MIME_TYPE, Report

pytestmark = pytest.mark.browser

HTML = '<div class="jupyter-optim-report"><table><tr><td>as html</td></tr></table></div>'
OUTPUT = ".jp-OutputArea-output.jp-JupyterOptimReport"


@pytest.fixture(scope="module")
def report() -> Report:
    """A real report of a model that was changed."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model = nn.Sequential(nn.Embedding(50, 64), nn.TransformerEncoder(layer, 3), nn.Linear(64, 10)).eval()
    with torch.no_grad():
        session = jo.optimize(model, torch.randint(0, 50, (8, 32)))
        session.apply("bf16", keep="always")
    return session.report


@pytest.fixture
def show(reader, open_page):
    """Open a notebook whose outputs hold the data given; gives the page."""

    def shown(name, *data, **look):
        cells = [
            nbformat.v4.new_code_cell(
                "model(x)",
                outputs=[
                    nbformat.v4.new_output(
                        "display_data", {MIME_TYPE: each, "text/html": HTML, "text/plain": "as text"}
                    )
                ],
            )
            for each in data
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), reader.folder / f"{name}.ipynb")
        page = open_page(reader, f"lab/tree/{name}.ipynb?reset", **look)
        page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
        if look.get("width", 1400) < 1000:
            page.get_by_role("tab", name="File Browser").first.click()
        page.locator(OUTPUT).first.wait_for()
        return page

    return shown


def test_what_cannot_be_drawn_is_shown_as_html_with_a_line_why(show, report):
    # GIVEN a report of a later version, a broken one, one too large to draw, and one with markup for a name
    data = json.loads(report.to_json())
    markup = "<img src=x onerror=document.title='owned'>"
    page = show(
        "odd",
        {**data, "schema_version": data["schema_version"] + 1},
        {**data, "latency": {**data["latency"], "repeats": "many"}},
        {**data, "cell": "x" * 150_000},
        {**data, "workload": {**data["workload"], "model": markup}},
    )
    # THEN each says what is the matter, and the html stands below
    for i, why in enumerate(
        ("schema version 2", "report.latency.repeats", "too large to be drawn: see report.cell")
    ):
        output = page.locator(OUTPUT).nth(i)
        output.get_by_text("as html").wait_for()
        assert why in output.locator(".jp-JupyterOptimReport-notice").inner_text()
    # and markup is text
    last = page.locator(OUTPUT).nth(3)
    last.get_by_role("heading", level=3).wait_for()
    assert markup in last.get_by_role("heading", level=3).inner_text()
    assert last.locator("img").count() == 0
    assert page.title() != "owned"


def test_numbers_that_cannot_be_are_drawn_all_the_same(show, report):
    # GIVEN reports as nobody measured them: all figures nothing, negative, or near the largest that there is
    data = json.loads(report.to_json())
    page = show("numbers", *(_with_numbers(data, number) for number in (0, -1, 10**300)))
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # THEN every part of each can be looked at
    for output in page.locator(OUTPUT).all():
        output.scroll_into_view_if_needed()
        output.get_by_role("heading", level=3).wait_for()
        for tab in output.get_by_role("tab").all():
            tab.click()
            output.get_by_role("tabpanel", name=tab.inner_text()).wait_for()
        assert output.locator(".jp-JupyterOptimReport-notice", has_text="could not be drawn").count() == 0
    assert faults == []


def _with_numbers(value, number):
    """`value` with `number` for all figures of it but its version."""
    if isinstance(value, dict):
        return {
            name: each if name == "schema_version" else _with_numbers(each, number)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_with_numbers(each, number) for each in value]
    return number if type(value) in (int, float) else value


def test_the_report_is_read_by_the_keyboard_alone(show, report):
    page = show("keyboard", json.loads(report.to_json()))
    output = page.locator(OUTPUT)
    # the headline is Python's, word for word
    said = output.get_by_role("heading", level=3).inner_text()
    assert said == headline(Report.from_json(report.to_json())).replace("`", "")
    assert output.get_by_text("as html").count() == 0
    _read_the_modules(page, output)
    _sort_and_filter_operators(page, output, report)
    _read_a_chart(page, output)
    # all that was measured is in the html, which is drawn when it is asked for
    output.locator("details.jp-JupyterOptimReport-whole > summary").press("Enter")
    output.get_by_text("as html").wait_for()
    # no key went to the notebook
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1


def _read_the_modules(page, output):
    tree = output.get_by_role("treegrid", name="Modules")
    root = tree.get_by_role("row", name="(the model itself)")
    assert root.get_attribute("aria-expanded") == "true"
    root.press("ArrowLeft")
    assert root.get_attribute("aria-expanded") == "false"
    root.press("ArrowRight")
    root.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-level')") == "2"
    # the chart above goes into a module, and back
    chart = output.get_by_role("group", name="Time by module")
    count = chart.get_by_role("button").count()
    chart.get_by_role("button", name="(the model itself)").press("ArrowDown")
    assert output.get_by_role("tooltip").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => document.querySelectorAll('[aria-label=\"Time by module\"] [role=button]').length < before",
        arg=count,
    )
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => document.querySelectorAll('[aria-label=\"Time by module\"] [role=button]').length == before",
        arg=count,
    )


def _sort_and_filter_operators(page, output, report):
    output.get_by_role("tab", name="Modules").press("ArrowRight")
    table = output.get_by_role("table", name="Operators")
    head = table.get_by_role("columnheader", name="Operator")
    assert head.get_attribute("aria-sort") == "none"
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    names = sorted(op.name for op in report.ops)
    assert table.get_by_role("rowheader").first.get_attribute("title") == names[0]
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert table.get_by_role("rowheader").first.get_attribute("title") == names[-1]
    # letters that are shortcuts of the notebook are letters here
    output.get_by_label("Filter operators").focus()
    page.keyboard.type("add")
    found = [name for name in names if "add" in name.lower()]
    output.get_by_role("status").filter(has_text=f"{len(found)} of {len(names)} rows").wait_for()
    assert int(table.get_attribute("aria-rowcount")) == len(found) + 1


def _read_a_chart(page, output):
    output.get_by_role("tab", name="Operators").press("End")
    output.get_by_role("tab", name="Machine").press("ArrowLeft")
    curve = output.get_by_role("slider", name="Memory held during one call")
    curve.press("Home")
    first = curve.get_attribute("aria-valuetext")
    curve.press("End")
    assert curve.get_attribute("aria-valuetext") != first
    panel = output.get_by_role("tabpanel", name="Memory")
    panel.get_by_text("Show as table").press("Enter")
    table = panel.get_by_role("table", name="Memory held during one call")
    assert first.split(" after ")[0] in table.inner_text()


@pytest.mark.parametrize(("width", "theme"), [(1400, "JupyterLab Light"), (700, "JupyterLab Dark")])
def test_it_fits_the_page_and_has_no_serious_accessibility_faults(show, report, serious_faults, width, theme):
    page = show(f"axe-{width}", json.loads(report.to_json()), width=width, theme=theme)
    output = page.locator(OUTPUT)
    output.locator("svg").first.wait_for()
    assert serious_faults(page, OUTPUT) == []
    for tab in output.get_by_role("tab").all():
        tab.click()
        assert output.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
        page.keep_picture(tab.inner_text())
        assert serious_faults(page, f"{OUTPUT} [role=tabpanel]:not([hidden])") == []
    assert page.complaints == []
