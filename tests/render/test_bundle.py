from __future__ import annotations

import base64
import json
import subprocess
import sys

import msgspec
import pytest

from jupyter_optim.errors import InvalidReport
from jupyter_optim.render import save, to_bundle, to_png
from jupyter_optim.report import MIME_TYPE, Report
from tests.render import samples

KB = 1000


@pytest.mark.parametrize("name", samples.all_samples())
def test_a_run_takes_at_most_300_kb(name):
    bundle = to_bundle(samples.all_samples()[name], samples.bert())
    assert set(bundle) == {MIME_TYPE, "text/html", "text/latex", "image/png", "text/plain"}
    sizes = [len(value if isinstance(value, str) else json.dumps(value)) for value in bundle.values()]
    assert sum(sizes) <= 300 * KB
    assert len(base64.b64decode(bundle["image/png"])) <= 120 * KB


def test_a_typical_html_stays_small():
    assert len(to_bundle(samples.bert())["text/html"]) <= 70 * KB


@pytest.mark.parametrize("name", samples.all_samples())
def test_the_data_can_be_read_back(name):
    report = samples.all_samples()[name]
    data = to_bundle(report)[MIME_TYPE]
    read = Report.from_json(json.dumps(data))
    assert Report.from_json(read.to_json()) == read
    assert read.latency == Report.from_json(report.to_json()).latency


def test_a_small_report_is_stored_whole():
    report = samples.bert_after()
    assert to_bundle(report)[MIME_TYPE] == json.loads(report.to_json())


def test_a_large_report_says_what_is_left_out_and_keeps_the_dearest():
    report = samples.huge()
    data = to_bundle(report)[MIME_TYPE]
    assert len(json.dumps(data)) <= 150 * KB
    left = len(report.ops) - len(data["ops"])
    assert f"{left:,} op rows" in data["trace"]["reason"]
    assert data["ops"][0]["name"] == "aten::op_0"
    assert data["modules"]
    assert data["lines"]


@pytest.mark.parametrize("ending", [".html", ".json", ".txt", ".png", ".HTML"])
def test_save(tmp_path, ending):
    path = save(samples.bert(), tmp_path / f"report{ending}")
    assert path.stat().st_size > KB


def test_save_refuses_other_endings(tmp_path):
    with pytest.raises(InvalidReport, match=r"\.html, \.json, \.txt or \.png"):
        save(samples.bert(), tmp_path / "report.pdf")
    assert samples.bert().save(tmp_path / "x.json").read_text() == samples.bert().to_json()


def test_the_picture_is_the_same_whatever_style_the_user_has_set():
    script = """
import sys
from tests.render import samples
from jupyter_optim.render import to_png
plain = to_png(samples.bert_after())
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
matplotlib.rcParams.update({"font.family": "no such font", "text.usetex": True, "font.size": 40, "text.color": "red",
    "path.sketch": (1, 100, 2), "lines.linewidth": 9, "figure.facecolor": "red", "savefig.dpi": 10,
    "patch.force_edgecolor": True, "hatch.linewidth": 9, "figure.dpi": 30, "axes.unicode_minus": False})
before = dict(matplotlib.rcParams)
assert to_png(samples.bert_after()) == plain
assert dict(matplotlib.rcParams) == before
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_rendering_needs_neither_torch_nor_ipython_nor_matplotlib_for_words():
    script = """
import sys
from tests.render import samples
from jupyter_optim.render import to_html, to_text
to_text(samples.bert()); to_html(samples.bert(), figure=False)
assert not {"torch", "IPython", "matplotlib"}.intersection(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("error")
def test_names_that_no_font_has_draw_without_a_warning():
    report = samples.bert()
    work = msgspec.structs.replace(report.workload, model="模型\U0001f600$x^2$")
    assert to_png(msgspec.structs.replace(report, workload=work)).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", samples.all_samples())
def test_pictures_are_no_larger_than_a_notebook_is_wide(name):
    png = to_png(samples.all_samples()[name], samples.bert())
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert width == 1350
    assert 200 <= height <= 900
