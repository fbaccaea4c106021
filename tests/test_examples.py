"""The example notebooks: what a newcomer runs first, and what a reader sees without running anything."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from example_notebooks.run import HERE, NotebookFailed, execute, main, reports
from jupyter_optim.report import MIME_TYPE
from tests.kernels import as_for_users

NAMES = ("digits", "quickstart")
LARGEST_BYTES = 1_000_000
_ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|work|usr|opt|mnt|var|Users)/[\w.]+|[A-Z]:\\\\\w+")


def _outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def _cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def _printed(notebook, name):
    return "".join(each.text for each in _cell(notebook, name).outputs if each.output_type == "stream")


@pytest.fixture(scope="module", params=NAMES)
def executed(request):
    """Each notebook, run once on a kernel of its own."""
    with as_for_users():
        return request.param, execute(HERE / f"{request.param}.ipynb")


def _check_clean(notebook):
    assert not [each for each in _outputs(notebook) if each.output_type == "error"]
    assert not [each.text for each in _outputs(notebook) if each.get("name") == "stderr"]
    text = nbformat.writes(notebook)
    assert not _ABSOLUTE.findall(text)
    assert sys.prefix not in text
    assert "widgets" not in notebook.metadata
    assert "widget-view" not in text


def _check_report(notebook):
    """One report, in all the forms that some viewer needs, with a way on for those who have no kernel."""
    shown = [each.data for each in _outputs(notebook) if MIME_TYPE in each.get("data", {})]
    assert len(shown) == 1
    assert {"text/html", "image/png", "text/plain"} <= shown[0].keys()
    assert "jupyter-optim-report" in shown[0]["text/html"]
    assert len(json.dumps(shown[0][MIME_TYPE])) <= 300_000
    controls = [each.data for each in _outputs(notebook) if "need a running kernel" in str(each.get("data"))]
    assert len(controls) == 1


@pytest.mark.timeout(1200)
def test_it_runs_on_a_real_kernel(executed):
    name, notebook = executed
    _check_clean(notebook)
    _check_report(notebook)
    {"quickstart": _check_quickstart, "digits": _check_digits}[name](notebook)


def _check_quickstart(notebook):
    report = next(reports(notebook))
    assert report.workload.model == "BertModel"
    (step,) = report.history
    assert step.technique == "int8-dynamic"
    assert step.verdict in ("faster", "smaller"), step.reason
    assert not step.undone
    # the judge was our own score, and it held
    assert step.quality.metric == "evaluate"
    assert 0.5 < step.quality.before < 1
    assert step.quality.drop <= step.quality.max_drop == pytest.approx(0.01 * step.quality.before)
    assert "equal to the bit: True" in _printed(notebook, "undo")
    assert "changed again: True" in _printed(notebook, "undo")
    assert "to the bit: True" in _printed(notebook, "proof")
    assert "jupyter_optim" not in _printed(notebook, "code")


def _check_digits(notebook):
    report = next(reports(notebook))
    verdicts = {step.technique: step for step in report.history}
    # zeros are multiplied like any number
    assert not verdicts["prune-magnitude"].accepted
    rejected, forced = (step for step in report.history if step.technique == "prune-structured")
    assert (rejected.verdict, rejected.accepted) == ("quality lost", False)
    assert forced.accepted
    assert forced.size_ratio == pytest.approx(0.25, abs=0.03)
    learnt, recovered = (
        float(re.findall(r"([\d.]+)%", _printed(notebook, name))[-1]) for name in ("train", "recover")
    )
    assert learnt > 98
    assert recovered > learnt - 1.5
    assert "equal to the bit: True" in _printed(notebook, "undo")
    assert f"again:          {recovered}%" in _printed(notebook, "undo")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_checked_in_as_a_reader_wants_it(name):
    path = HERE / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    assert path.stat().st_size < LARGEST_BYTES
    _check_clean(notebook)
    _check_report(notebook)


def test_a_cell_that_fails_is_named(tmp_path):
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_code_cell("nobody.knows()")]
    path = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(NotebookFailed, match=r"(?s)broken\.ipynb failed.*nobody\.knows\(\).*NameError"):
        execute(path)


def test_an_unknown_notebook_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        main(["quickstrat"])
    assert refused.value.code == 2
    assert "there are digits, quickstart" in capsys.readouterr().err


def test_the_readmes_picture_and_links_exist():
    readme = (HERE.parent / "README.md").read_text()
    local = [each for each in re.findall(r"\]\(([^)]+)\)", readme) if not each.startswith(("http", "#"))]
    assert local
    for each in local:
        assert (HERE.parent / each).exists(), each
    first = next(line for line in readme.splitlines() if line and not line.startswith("#"))
    picture = HERE.parent / Path(re.fullmatch(r"!\[.+\]\((.+\.png)\)", first).group(1))
    assert picture.stat().st_size < 300_000
