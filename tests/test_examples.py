"""The example notebooks: what a newcomer runs first, and what a reader sees without running anything."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from example_notebooks.run import HERE, NotebookFailed, execute, main, reports
from jupyter_optim.hardware.isa import has_vnni
from jupyter_optim.report import MIME_TYPE
from tests.kernels import as_for_users

REPORTS = {
    "digits": 1,
    "language_model": 1,
    "quickstart": 1,
    "training_step": 1,
    "vision_transformer": 1,
    "why_slow": 3,
}
"""How many reports each notebook shows; what is measured with ``--quiet`` shows none."""
NAMES = tuple(REPORTS)
LARGEST_BYTES = 600_000
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


def _check_reports(notebook, count):
    """Reports in all the forms that some viewer needs, with a way on for those who have no kernel."""
    shown = [each.data for each in _outputs(notebook) if MIME_TYPE in each.get("data", {})]
    assert len(shown) == count
    for data in shown:
        assert {"text/html", "image/png", "text/plain"} <= data.keys()
        assert "jupyter-optim-report" in data["text/html"]
        assert len(json.dumps(data[MIME_TYPE])) <= 300_000
    controls = [each.data for each in _outputs(notebook) if "need a running kernel" in str(each.get("data"))]
    assert len(controls) == count


@pytest.mark.timeout(1200)
def test_it_runs_on_a_real_kernel(executed):
    name, notebook = executed
    _check_clean(notebook)
    _check_reports(notebook, REPORTS[name])
    {
        "digits": _check_digits,
        "language_model": _check_language_model,
        "quickstart": _check_quickstart,
        "training_step": _check_training_step,
        "vision_transformer": _check_vision_transformer,
        "why_slow": _check_why_slow,
    }[name](notebook)


def _check_quickstart(notebook):
    report = next(reports(notebook))
    assert report.workload.model == "BertModel"
    (step,) = report.history
    assert step.technique == "int8-dynamic"
    # without such instructions int8 is as fast as float32, or a little slower, and then it is left out
    assert step.verdict in ("faster", "smaller", *(() if has_vnni() else ("slower",))), step.reason
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


def _kinds(report):
    return {finding.kind for finding in report.findings}


def _phase_ms(report):
    return {phase.name: phase.ms for phase in report.training.phases}


def _check_training_step(notebook):
    report = next(reports(notebook))
    assert {"data-loading", "optimizer-ops"} <= _kinds(report)
    phases = _phase_ms(report)
    assert set(phases) == {"data", "forward", "backward", "optimizer", "other"}
    # the slow line is named, and nothing of ours takes its place
    hot = max((line for line in report.lines if "moved[y, x]" in line.text), key=lambda line: line.ms)
    assert hot.source.startswith("cell [")
    assert hot.share > 0.05
    assert "waits for data" in _printed(notebook, "read")
    assert "fused=True" in _printed(notebook, "read")
    mended = dict(re.findall(r"^(\w+) +[\d.]+ ms +([\d.]+) ms$", _printed(notebook, "compare"), re.MULTILINE))
    assert float(mended["data"]) < phases["data"] / 2
    assert "waits for data" not in _printed(notebook, "compare")
    assert float(re.search(r"([\d.]+)%", _printed(notebook, "learns")).group(1)) > 80


def _check_language_model(notebook):
    report = next(reports(notebook))
    assert report.workload.model == "SmallGPT"
    untrained, trained = (
        float(re.search(r"([\d.]+) bits", _printed(notebook, name)).group(1)) for name in ("score", "train")
    )
    # how far half a minute leads depends on the machine
    assert trained < untrained - 0.1
    int8, embedding = report.history
    assert (int8.technique, embedding.technique) == ("int8-dynamic", "int8-embedding")
    for step in report.history:
        assert step.verdict != "failed", step.reason
        assert step.quality.metric == "evaluate"
        if step.accepted:
            assert step.quality.drop <= step.quality.max_drop == pytest.approx(0.02)
    # it saves bytes on any machine, and is left out where one of them reads packed rows more slowly
    assert embedding.size_ratio < 0.9
    assert "The statement" in _printed(notebook, "after")
    assert "equal to the bit: True" in _printed(notebook, "undo")


def _check_vision_transformer(notebook):
    report = next(reports(notebook))
    assert report.workload.model == "ViTForImageClassification"
    learnt = float(re.search(r"([\d.]+)%", _printed(notebook, "train")).group(1))
    assert learnt > 90
    tried = [step.technique for step in report.history]
    assert tried[:3] == ["sdpa", "int8-dynamic", "openvino"]
    for step in report.history:
        assert step.verdict != "failed", step.reason
        if step.accepted:
            assert step.quality.drop <= step.quality.max_drop == pytest.approx(0.005)
    in_place = report.history[-1]
    assert (in_place.accepted, in_place.undone) == (True, False)
    kept = float(re.search(r"accuracy now: ([\d.]+)%", _printed(notebook, "keep")).group(1))
    assert kept >= learnt - 0.5
    assert "ViTForImageClassification with the same answer" in _printed(notebook, "same")


def _check_why_slow(notebook):
    waiting, looped, hungry = reports(notebook)
    assert "data-loading" in _kinds(waiting)
    assert "overhead" in _kinds(looped)
    assert "memory-hog" in _kinds(hungry)
    # the naps of a batch of 32; what is left of them when the data is in memory
    naps, none = (
        float(re.search(r"data +([\d.]+) ms", _printed(notebook, name)).group(1))
        for name in ("data-finding", "data-compare")
    )
    assert naps >= 64
    assert none < naps / 2
    before, after = (
        int(re.search(r"^(\d+) operations", _printed(notebook, name), re.MULTILINE).group(1))
        for name in ("tiny-finding", "tiny-compare")
    )
    assert after < before / 10
    assert "the same scores: True" in _printed(notebook, "tiny-compare")
    assert hungry.memory.peak_bytes > 200e6
    compared = _cell(notebook, "hog-compare").outputs
    assert any("Peak memory is" in str(output.get("data")) for output in compared)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_checked_in_as_a_reader_wants_it(name):
    path = HERE / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    assert path.stat().st_size < LARGEST_BYTES
    _check_clean(notebook)
    _check_reports(notebook, REPORTS[name])


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
    assert f"there are {', '.join(NAMES)}" in capsys.readouterr().err


def test_the_readmes_picture_and_links_exist():
    readme = (HERE.parent / "README.md").read_text()
    local = [each for each in re.findall(r"\]\(([^)]+)\)", readme) if not each.startswith(("http", "#"))]
    assert local
    for each in local:
        assert (HERE.parent / each).exists(), each
    first = next(line for line in readme.splitlines() if line and not line.startswith("#"))
    picture = HERE.parent / Path(re.fullmatch(r"!\[.+\]\((.+\.png)\)", first).group(1))
    assert picture.stat().st_size < 300_000
