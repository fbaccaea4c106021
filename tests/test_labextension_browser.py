"""A saved report in a real JupyterLab, without a kernel and without trust."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
import torch
from torch import nn

import jupyter_optim as jo
from jupyter_optim.report import MIME_TYPE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

HTML = '<div class="jupyter-optim-report"><table><tr><td>as html</td></tr></table></div>'


@pytest.fixture(scope="module")
def report():
    """The data of a real report, as a notebook file holds it."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
    return json.loads(jo.optimize(model, torch.randn(32, 64)).report.to_json())


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab, and the folder that it serves."""
    folder = tmp_path_factory.mktemp("notebooks")
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ServerApp.root_dir": folder,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        # it would look for news on the network, and not stop before it has an answer
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    log = (home / "log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--IdentityProvider.token=",
            *options,
        ],
        env={**kept, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address)
        yield address, folder
    finally:
        server.kill()
        server.wait()
        log.close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture
def show(lab, browser, request):
    """Open a notebook whose only output holds the data given; gives that output's report."""
    address, folder = lab
    page = browser.new_page()

    def shown(data):
        name = f"{request.node.name}.ipynb"
        output = nbformat.v4.new_output(
            "display_data", {MIME_TYPE: data, "text/html": HTML, "text/plain": "as text"}
        )
        cell = nbformat.v4.new_code_cell("model(x)", outputs=[output])
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / name)
        page.goto(f"{address}/lab/tree/{name}?reset")
        return page.locator(".jp-OutputArea-output.jp-JupyterOptimReport")

    yield shown
    page.close()


def test_a_saved_report_is_drawn_rather_than_its_html(show, report):
    output = show(report)
    headline = output.locator(".jp-JupyterOptimReport-headline")
    headline.wait_for()
    assert "Sequential" in headline.inner_text()
    assert "ms" in headline.inner_text() or "µs" in headline.inner_text()
    assert output.get_by_role("table", name="Modules").first.locator("tbody tr").count() > 1
    assert output.locator("text=as html").count() == 0


def test_all_that_was_measured_is_in_a_fold_that_draws_when_it_opens(show, report):
    output = show(report)
    fold = output.locator("details.jp-JupyterOptimReport-whole")
    fold.wait_for()
    assert output.locator("text=as html").count() == 0
    # JupyterLab's question for a kernel stands before it
    fold.evaluate("details => { details.open = true; }")
    output.locator("text=as html").wait_for()


def test_markup_in_the_data_is_text(show, report):
    name = "<img src=x onerror=document.title='owned'>"
    output = show({**report, "workload": {**report["workload"], "model": name}})
    headline = output.locator(".jp-JupyterOptimReport-headline")
    headline.wait_for()
    assert name in headline.inner_text()
    assert output.locator("img").count() == 0


def test_a_report_of_another_version_says_so_above_the_html(show, report):
    output = show({**report, "schema_version": report["schema_version"] + 1})
    output.locator("text=as html").wait_for()
    assert "schema version 2" in output.locator(".jp-JupyterOptimReport-notice").inner_text()


def test_a_broken_report_says_where_above_the_html(show, report):
    output = show({**report, "latency": {**report["latency"], "repeats": "many"}})
    output.locator("text=as html").wait_for()
    assert "report.latency.repeats" in output.locator(".jp-JupyterOptimReport-notice").inner_text()


def _wait_for(address):
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
