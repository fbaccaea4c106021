"""A real Jupyter server and a real browser, as a user has them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from tests.kernels import as_for_users

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_TREE = Path(__file__).parents[2]
_AXE = _TREE / "labextension/node_modules/axe-core/axe.min.js"
PATIENCE_MS = 180_000
"""For what a loaded machine may take its time with: a kernel that imports torch, a technique on trial."""


class Jupyter:
    """A running server with its own home and folder."""

    def __init__(self, folder: Path, home: Path, *options: str) -> None:
        self.folder, self._home, self._options = folder, home, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        with as_for_users():
            kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        # the extension of this tree, wherever another one is installed
        (home / "data/labextensions").mkdir(parents=True)
        (home / "data/labextensions/jupyter-optim").symlink_to(_TREE / "jupyter_optim/labextension")
        own = {"HOME": str(home), "PYTHONPATH": str(_TREE), "JUPYTER_PATH": str(home / "data")}
        self._environment = {**kept, **own}
        self._log = (home / "log").open("w")
        self._server = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "ServerApp.root_dir": self.folder,
            "ServerApp.port": self.address.rpartition(":")[2],
            "ServerApp.port_retries": 0,
            "IdentityProvider.token": "",
            # it would look for news on the network
            "LabApp.news_url": "None",
            # whether a page has its kernel is asked of the application (kernel.py)
            "LabApp.expose_app_in_browser": "True",
            "JupyterNotebookApp.expose_app_in_browser": "True",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            *options,
            *self._options,
        ]
        return subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait(self) -> None:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/api", timeout=5).close()
            except (urllib.error.URLError, OSError):
                if time.monotonic() > until or self._server.poll() is not None:
                    raise
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
        self._log.close()

    def set_theme(self, theme: str) -> None:
        settings = self._home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
        (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false"}))

    @contextmanager
    def without_extension(self) -> Iterator[None]:
        """Pages that are opened meanwhile have our extension disabled, as by `jupyter labextension disable`."""
        config = self._home / ".jupyter/labconfig/page_config.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({"disabledExtensions": {"jupyter-optim": True}}))
        try:
            yield
        finally:
            config.unlink()

    def write(self, name: str, cells: list[str]) -> None:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.folder / name)

    def receive(self, file: Path, name: str, *, trust: bool) -> None:
        """Take over a notebook that was saved elsewhere."""
        shutil.copy(file, self.folder / name)
        if trust:
            command = [sys.executable, "-m", "jupyter", "trust", str(self.folder / name)]
            subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Where the user works."""
    with _running(tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Where others read: there is no kernel."""
    none = ("--KernelSpecManager.ensure_native_kernel=False", "--KernelSpecManager.allowed_kernelspecs=none")
    with _running(tmp_path_factory, *none) as server:
        yield server


@contextmanager
def _running(factory: pytest.TempPathFactory, *options: str) -> Iterator[Jupyter]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium on this machine")
        pytest.skip("no Chromium on this machine")
    server = Jupyter(factory.mktemp("notebooks"), factory.mktemp("home"), *options)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")  # one Playwright runs at a time in a process
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(request) -> Iterator:
    """Open a notebook at a width and in a theme; `complaints` of the page collects what its console says is wrong.

    Pictures go to $JUPYTER_OPTIM_SCREENSHOTS, if that is set.
    """
    contexts = []

    def opened(server: Jupyter, path: str, *, width: int = 1400, theme: str = "JupyterLab Light"):
        server.set_theme(theme)
        context = request.getfixturevalue("chromium").new_context(viewport={"width": width, "height": 1000})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(f"{server.address}/{path}")
        page.keep_picture = lambda name: _keep_picture(page, f"{request.node.name}-{name}")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def serious_faults():
    """A function of a page and a selector: what axe-core finds there that would keep somebody out, and why and where."""
    assert _AXE.is_file(), "run `jlpm install` in labextension/"

    def found(page, selector: str) -> list[tuple[str, str, list[str]]]:
        if page.evaluate("typeof axe") == "undefined":
            page.add_script_tag(path=_AXE)
        result = page.evaluate("selector => axe.run(selector, {resultTypes: ['violations']})", selector)
        return [
            (each["id"], each["help"], [node["html"][:120] for node in each["nodes"][:3]])
            for each in result["violations"]
            if each["impact"] in ("serious", "critical")
        ]

    return found


def _keep_picture(page, name: str) -> None:
    folder = os.environ.get("JUPYTER_OPTIM_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name.replace('/', '-')}.png")
