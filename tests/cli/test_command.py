"""The real command on notebooks that were really executed, and on files that are none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_optim.report import MIME_TYPE
from tests.render import samples

NOTEBOOKS = Path(__file__).parents[2] / "example_notebooks"
DIGITS, QUICKSTART = NOTEBOOKS / "digits.ipynb", NOTEBOOKS / "quickstart.ipynb"


def optim(*arguments, **variables):
    """Run ``jupyter optim``."""
    return subprocess.run(
        [sys.executable, "-m", "jupyter_optim.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **variables}, capture_output=True, check=False,
        encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL,
    )  # fmt: skip


def report_of(notebook):
    """The first report in a notebook file, as plain data."""
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", ()):
            if MIME_TYPE in output.get("data", {}):
                return output["data"][MIME_TYPE]
    raise AssertionError(notebook)


def with_report(notebook, path, change):
    """A copy of a notebook at `path`, its report changed."""
    data = json.loads(notebook.read_text())
    for cell in data["cells"]:
        for output in cell.get("outputs", ()):
            if MIME_TYPE in output.get("data", {}):
                output["data"][MIME_TYPE] = change(output["data"][MIME_TYPE])
    path.write_text(json.dumps(data))
    return path


def slowed(factor):
    """Changes a report into that of a call that takes `factor` times as long, without a history of its own."""

    def change(report):
        latency = {name: value * factor if name.endswith("_ms") and isinstance(value, float) else value
                   for name, value in report["latency"].items()}  # fmt: skip
        return {**report, "latency": latency, "history": []}

    return change


def forced(speedup):
    """Changes a report into that of a model with one change that was put in whatever it cost."""

    def change(report):
        step = {**report["history"][-1], "accepted": True, "undone": False, "verdict": "slower",
                "speedup": {"low": speedup * 0.97, "median": speedup, "high": speedup * 1.03}}  # fmt: skip
        return {**report, "history": [step]}

    return change


def test_show_tells_what_the_notebook_tells():
    done = optim("show", DIGITS)
    assert (done.returncode, done.stderr) == (0, "")
    report = report_of(DIGITS)
    assert done.stdout.startswith("cell [")
    assert f"{report['workload']['model']} takes " in done.stdout
    for step in report["history"][-4:]:
        assert step["label"].split(" ", maxsplit=1)[0] in done.stdout
    assert "%%optimize" in done.stdout, "the listing of the cell"
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_report_by_itself_is_shown_as_well(tmp_path):
    path = samples.bert().save(tmp_path / "bert.json")
    assert "BertModel takes 111 ms" in optim("show", path).stdout


def test_a_log_that_knows_only_ascii_gets_the_figures_too():
    done = optim("show", QUICKSTART, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert "BertModel" in done.stdout


def test_a_reader_who_has_seen_enough_ends_it_without_a_word():
    command = f"{sys.executable} -m jupyter_optim.cli show {QUICKSTART} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("cell [")
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["show", "html", "diff", "check"])
def test_no_command_that_reads_waits_for_torch_or_ipython(command, tmp_path):
    arguments = {"show": [DIGITS], "html": [DIGITS, "-o", tmp_path / "x.html"], "diff": [DIGITS, QUICKSTART],
                 "check": [DIGITS, "--against", DIGITS]}[command]  # fmt: skip
    code = (
        "import sys; from jupyter_optim.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'IPython', 'ipywidgets', 'jupyterlab'} & set(sys.modules);"
        "assert status == 0 and not heavy, (status, heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_html_is_one_page_that_needs_nothing_else_in_both_themes(tmp_path):
    page = tmp_path / "digits.html"
    done = optim("html", DIGITS, "-o", page)
    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|<link|<iframe|src=\"(?!data:image/png;base64,)|https?://", text)
    assert 'src="data:image/png;base64,' in text
    for words in (
        "<h1>digits</h1>",
        "<h2>cell [",
        "What was tried",
        "This cell as it last ran",
        "What was measured",
    ):
        assert words in text


def test_diff_of_a_notebook_with_itself_is_noise():
    done = optim("diff", DIGITS, DIGITS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as fast as before, within noise" in done.stdout


def test_diff_says_what_became_slower(tmp_path):
    slower = with_report(DIGITS, tmp_path / "slower.ipynb", slowed(1.5))
    before = with_report(DIGITS, tmp_path / "before.ipynb", slowed(1.0))
    assert "1.5x slower" in optim("diff", before, slower).stdout
    assert "1.5x faster" in optim("diff", slower, before).stdout


def test_diff_names_what_only_one_of_them_measures(tmp_path):
    both = json.loads(DIGITS.read_text())
    both["cells"] += json.loads(QUICKSTART.read_text())["cells"]
    path = tmp_path / "both.ipynb"
    path.write_text(json.dumps(both))
    done = optim("diff", QUICKSTART, path)
    assert done.stdout.count("\n=====") == 1
    assert "Only in both.ipynb: Sequential (cell [" in done.stdout


def test_check_passes_what_is_as_fast_as_before():
    assert optim("check", DIGITS).returncode == 0
    done = optim("check", DIGITS, "--against", DIGITS)
    assert done.returncode == 0
    assert done.stdout.startswith("ok ")


def test_check_fails_what_became_slower_and_says_why(tmp_path):
    before = with_report(DIGITS, tmp_path / "before.ipynb", slowed(1.0))
    slower = with_report(DIGITS, tmp_path / "slower.ipynb", slowed(1.5))
    done = optim("check", slower, "--max-regression", "10%", "--against", before)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "1.5x slower" in done.stdout
    assert "50% more time a call; 10% is allowed" in done.stdout
    assert optim("check", slower, "--max-regression", "60%", "--against", before).returncode == 0
    assert optim("check", before, "--against", slower).returncode == 0


def test_check_takes_noise_for_what_it_is(tmp_path):
    before = with_report(DIGITS, tmp_path / "before.ipynb", slowed(1.0))
    a_little = with_report(DIGITS, tmp_path / "a_little.ipynb", slowed(1.06))
    done = optim("check", a_little, "--max-regression", "1%", "--against", before)
    assert done.returncode == 0
    assert "within noise" in done.stdout


def test_check_by_itself_looks_at_the_changes_that_the_model_carries(tmp_path):
    done = optim(
        "check", with_report(DIGITS, tmp_path / "forced.ipynb", forced(0.5)), "--max-regression", "20%"
    )
    assert done.returncode == 1
    assert "2.0x slower than before the changes in place; 20% slower is allowed" in done.stdout
    assert optim("check", with_report(DIGITS, tmp_path / "fast.ipynb", forced(2.0))).returncode == 0


def test_check_fails_if_what_was_measured_is_not_any_more(tmp_path):
    both = json.loads(DIGITS.read_text())
    both["cells"] += json.loads(QUICKSTART.read_text())["cells"]
    (tmp_path / "both.ipynb").write_text(json.dumps(both))
    done = optim("check", QUICKSTART, "--against", tmp_path / "both.ipynb")
    assert done.returncode == 1
    assert "Sequential (cell [" in done.stdout
    assert "is not measured any more" in done.stdout


def _files(folder):
    """Files that hold no report that can be read, and a word of what is said of each."""
    newer = {**report_of(DIGITS), "schema_version": 99}
    cell = {"cell_type": "code", "id": "x", "execution_count": 3, "outputs": [], "source": "", "metadata": {}}

    def notebook(data):
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        return json.dumps({"cells": [{**cell, "outputs": [output]}], "nbformat": 4, "nbformat_minor": 5})

    contents = {
        "empty.ipynb": ("", "not JSON, or broken"),
        "cut.ipynb": (DIGITS.read_text()[:5000], "not JSON, or broken"),
        "binary.ipynb": (b"\x89PNG\r\n\xff\xfe\x00", "not JSON, or broken"),
        "deep.ipynb": ("[" * 100_000, "not JSON, or broken"),
        "plain.ipynb": (json.dumps({"cells": [cell], "nbformat": 4}), "holds no report"),
        "odd.ipynb": (
            json.dumps({"cells": [1, {"outputs": 3}, {"outputs": [1, {"data": []}]}]}),
            "holds no report",
        ),
        "newer.ipynb": (notebook({MIME_TYPE: newer}), "cell [3]: This report has schema version 99"),
        "future.ipynb": (notebook({MIME_TYPE.replace("v1", "v2"): {}}), "made by a newer jupyter_optim"),
        "broken.ipynb": (notebook({MIME_TYPE: {**report_of(DIGITS), "ops": 3}}), "cell [3]: This is not a"),
        "null.ipynb": (notebook({MIME_TYPE: None}), "cell [3]: This is not a"),
        "list.json": ("[]", "neither a notebook nor a report"),
        "newer.json": (json.dumps(newer), "schema version 99"),
        "poor.json": ('{"schema_version": 1}', "This is not a jupyter_optim report"),
    }
    for name, (content, word) in contents.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        yield folder / name, word
    yield folder / "missing.ipynb", "There is no file"
    yield folder, "cannot be read"


def test_what_is_no_report_gets_one_clear_sentence(tmp_path):
    for path, word in _files(tmp_path):
        for arguments in ([["show", path], ["check", path, "--against", DIGITS]] if path.suffix == ".ipynb"
                          else [["diff", DIGITS, path]]):  # fmt: skip
            done = optim(*arguments)
            assert done.returncode == 2, (path.name, done.stderr)
            assert done.stdout == ""
            assert done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.startswith(f"jupyter optim {arguments[0]}: ")
            assert word in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["check", DIGITS, "--max-regression", "10"], "give a share such as 10%"),
        (["check", DIGITS, "--max-regression", "nan%"], "give a share such as 10%"),
        (["check", DIGITS, "--against", QUICKSTART], "measure different models"),
        (["html", DIGITS, "-o", "/no/such/folder/x.html"], "no folder"),
        (["html", DIGITS, "-o", "x.pdf"], "ends in .html"),
        (["html", DIGITS], "--output"),
        (["optimise", DIGITS], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, word):
    done = optim(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
