"""*Open in TensorBoard*, with the real TensorBoard and its plugin, on a real kernel and over HTTP."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

pytest.importorskip("tensorboard")
pytest.importorskip("torch_tb_profiler")

MODEL = """\
%load_ext jupyter_optim
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(256, 256), nn.ReLU())
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.body(x))

model, images = Net().eval(), torch.randn(64, 256)
"""
CELL = "%%optimize --into session\nwith torch.no_grad():\n    model(images)"
PRESS = "button = session.panel.buttons['tensorboard']\nbutton.click(); session.panel.wait(150); print(session.panel.said)"


def _asked(url: str, page: str, /, **options: str) -> object:
    address = f"{url}data/plugin/pytorch_profiler/{page}?{urlencode(options)}"
    data = build_opener(ProxyHandler({})).open(address, timeout=60).read()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def _pressed(notebook) -> str:
    """Press the button; the address that the panel gives."""
    said = notebook.run(PRESS).printed.strip()
    assert said.startswith("TensorBoard shows the model as it is now as run"), said
    return said.rpartition(" ")[2].removesuffix("#pytorch_profiler")


def _server(notebook) -> psutil.Process:
    return psutil.Process(int(notebook.run("print(session.panel._tensorboard._board._process.pid)").printed))


def _folder(server: psutil.Process) -> Path:
    return Path(server.cmdline()[-1])


@pytest.fixture(scope="module")
def notebook(new_notebook):
    started = new_notebook()
    assert not started.run(MODEL).failed
    ran = started.run(CELL)
    assert not ran.failed, ran.outputs
    return started


@pytest.fixture(scope="module")
def url(notebook):
    return _pressed(notebook)


def test_the_plugin_finds_the_model_with_all_its_views(url):
    assert _asked(url, "runs") == {"runs": ["1-at-first"], "loading": False}
    views = _asked(url, "views", run="1-at-first")
    assert views == ["Overview", "Operator", "Trace", "Memory", "Module"]
    assert _asked(url, "workers", run="1-at-first", view="Overview") == ["Net"]


def test_the_views_hold_our_steps_ops_and_modules(url):
    run = {"run": "1-at-first", "worker": "Net", "span": "1"}
    steps = _asked(url, "overview", **run)["steps"]["rows"]
    assert len(steps) >= 3
    assert [step[0] for step in steps] == [str(number) for number in range(len(steps))]
    ops = {row["name"]: row for row in _asked(url, "operation/table", **run, group_by="Operation")["data"]}
    assert ops["aten::addmm"]["calls"] == 2 * len(steps)
    assert not [name for name in ops if name.startswith(("nn.Module", "line", "jo:", "ProfilerStep"))]
    (root,) = _asked(url, "module", **run)["data"]
    assert (root["name"], root["occurences"]) == ("model (Net)", len(steps))
    body, head = root["children"]
    assert [each["name"] for each in (body, head)] == ["body (Sequential)", "head (Linear)"]
    assert [each["name"] for each in body["children"]] == ["body.0 (Linear)", "body.1 (ReLU)"]
    memory = _asked(url, "memory", **run)
    assert "aten::addmm" in {row[0] for row in memory["rows"]["CPU"]}


def test_it_is_reachable_from_this_machine_only_and_the_panel_links_to_it(notebook, url):
    assert url.startswith("http://127.0.0.1:")
    listening = {each.laddr.ip for each in _server(notebook).net_connections() if each.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    text = notebook.run("print(session.panel._tensorboard._text.value)").printed
    assert f'href="{url}#pytorch_profiler"' in text
    assert 'rel="noopener"' in text


def test_a_second_press_uses_the_one_that_runs(notebook, url):
    server = _server(notebook)
    assert _pressed(notebook) == url
    assert _server(notebook) == server
    assert _asked(url, "runs")["runs"] == ["1-at-first"]


def test_a_changed_model_becomes_one_more_run(notebook, url):
    notebook.run("session.apply('bf16', keep='always');")
    assert _pressed(notebook) == url
    assert _asked(url, "runs")["runs"] == ["1-at-first", "2-bf16"]
    run = {"run": "2-bf16", "worker": "Net", "span": "1"}
    ops = _asked(url, "operation/table", **run, group_by="Operation")["data"]
    assert any("addmm" in row["name"] or "linear" in row["name"] for row in ops)


def test_stop_ends_it_and_removes_its_traces(notebook, url):
    server = _server(notebook)
    folder = _folder(server)
    assert folder.is_dir()
    notebook.run("session.panel.buttons['tensorboard-stop'].click()")
    assert not server.is_running()
    assert not folder.exists()
    shown = "print(session.panel.buttons['tensorboard-stop'].layout.display)"
    assert notebook.run(shown).printed == "none\n"
    # and it can be opened again
    assert _asked(_pressed(notebook), "runs")["runs"] == ["1-bf16"]


def test_a_new_run_of_the_cell_ends_it(notebook):
    _pressed(notebook)
    server = _server(notebook)
    folder = _folder(server)
    notebook.run(CELL)
    assert not server.is_running()
    assert not folder.exists()


def test_cancel_while_it_starts_leaves_nothing_behind(notebook):
    ran = notebook.run(
        "import tempfile, pathlib\n"
        "before = set(pathlib.Path(tempfile.gettempdir()).glob('jupyter-optim-tensorboard-*'))\n"
        "panel = session.panel\npanel.buttons['tensorboard'].click(); panel.buttons['cancel'].click()\n"
        "print(panel.wait(60), panel.said)\n"
        "print(set(pathlib.Path(tempfile.gettempdir()).glob('jupyter-optim-tensorboard-*')) - before)"
    )
    assert ran.printed.splitlines() == ["True Cancelled: the model is as it was before.", "set()"]


def test_without_the_packages_the_row_says_how_to_install_them(notebook):
    ran = notebook.run(
        "import sys\nfrom jupyter_optim.notebook.panel import new_panel_of\n"
        "kept = sys.modules.get('torch_tb_profiler'), sys.modules.update(torch_tb_profiler=None)\n"
        "panel = new_panel_of(session)\nprint(panel._tensorboard._text.value)\n"
        "panel.buttons['tensorboard'].click(); panel.wait(60); print(panel.said)\n"
        "del sys.modules['torch_tb_profiler']"
    )
    text, said = ran.printed.splitlines()
    assert "pip install &#x27;jupyter-optim[tensorboard]&#x27;" in text
    assert "pip install 'jupyter-optim[tensorboard]'" in said
    assert not ran.tracebacks
    # once they are there, a press finds them in the same kernel
    assert _pressed(notebook)


KERNEL = """\
import sys
from pathlib import Path
from jupyter_optim.notebook.tensorboard import TensorBoard
import torch
from torch import nn
import jupyter_optim as jo
session = jo.optimize(nn.Linear(4, 4), torch.ones(1, 4))
board = TensorBoard()
session.write_trace(board.run_folder("run"))
print(board.show("run", lambda: None), board._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_it_ends_with_the_kernel_however_that_ends(killed):
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _, pid = kernel.stdout.readline().split()
    server = psutil.Process(int(pid))
    folder = _folder(server)
    assert folder.is_dir()
    if killed:
        kernel.kill()
    kernel.communicate(timeout=60)
    server.wait(timeout=60)
    assert not folder.exists()
