"""The magic's line is read verbatim, and refused in one sentence when it is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jupyter_optim.errors import InvalidOption
from jupyter_optim.notebook.arguments import Arguments, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Arguments()),
        ("net", Arguments(target="net")),
        ('models["a b"][0]', Arguments(target='models["a b"][0]')),
        ("(a if b else c) --quiet", Arguments(target="(a if b else c)", quiet=True)),
        ("net --with-paths", Arguments(target="net", with_paths=True)),
        ("--evaluate accuracy net", Arguments(target="net", evaluate="accuracy")),
        (
            "net --evaluate=accuracy --max-drop 1%",
            Arguments(target="net", evaluate="accuracy", max_drop="1%"),
        ),
        ("--train fit net", Arguments(target="net", train="fit")),
        ("--calibration loader net", Arguments(target="net", calibration="loader")),
        ("--max-drop 0.02 --goal size", Arguments(max_drop=0.02, goal="size")),
        ("--into kept --no-lines", Arguments(into="kept", lines=False)),
        ("net  # the small one", Arguments(target="net")),
        ("-h whatever --else", Arguments(help=True)),
        ("--help", Arguments(help=True)),
    ],
)
def test_reads_the_line_of_a_cell(line, expected):
    if "else" in line and "-h" in line:
        with pytest.raises(InvalidOption):
            parse(line, expression=False)
    else:
        assert parse(line, expression=False) == expected


def test_reads_paths_with_spaces(tmp_path: Path):
    folder = tmp_path / "my reports"
    folder.mkdir()
    given = parse(f'--save "{folder}/a b.html" --trace={folder.parent}/t.json.gz', expression=False)
    assert given.save == folder / "a b.html"
    assert given.trace == folder.parent / "t.json.gz"


@pytest.mark.parametrize("written", ["runs", "runs/", "new/"])
def test_a_trace_may_go_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert parse(f"--trace {written}", expression=False).trace == Path(written)
    assert not Path("new").exists(), "nothing is made before the cell has run"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("new", "must end in .json or .json.gz"),
        ("new.json/", "must not end like that of a file"),
        ("old.txt/", "is a file"),
        ("nowhere/new/", "there is no folder nowhere"),
        ('""', "needs a value"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
):
    monkeypatch.chdir(tmp_path)
    Path("old.txt").touch()
    with pytest.raises(InvalidOption, match=re.escape(said)):
        parse(f"--trace {written}", expression=False)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("model(x)", "model(x)"),
        ("model.generate(ids,  max_new_tokens=32)", "model.generate(ids,  max_new_tokens=32)"),
        ("f('--quiet', \"a  b\")", "f('--quiet', \"a  b\")"),
        ("--quiet model(x) --goal", "model(x) --goal"),
        ("model(x);", "model(x)"),
        ("-- -model(x)", "-model(x)"),
        ("model(**{'a': 1})", "model(**{'a': 1})"),
    ],
)
def test_keeps_the_expression_as_written(line, target):
    assert parse(line, expression=True).target == target


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--gaol size", "did you mean --goal?"),
        ("--goal speed", "choose one of"),
        ("--max-drop much", "give a number such as 0.01"),
        ("--max-drop nan", "give a number such as 0.01"),
        ("--max-drop=-1", "give a number such as 0.01"),
        ("--into 2nd", "name of a variable"),
        ("--into class", "name of a variable"),
        ("--save report.pdf", "must end in .html or .json or .txt"),
        ("--save nowhere/at/all.html", "there is no folder nowhere/at"),
        ("--evaluate", "needs a value"),
        ("--evaluate --quiet", "needs a value"),
        ("--train", "needs a value"),
        ("a b", "Give one model, not 2 (a, b)"),
    ],
)
def test_refuses_in_one_sentence(line, said):
    with pytest.raises(InvalidOption, match=r"^.+$") as caught:
        parse(line, expression=False)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["", "--quiet", "--", ";"])
def test_an_expression_must_be_given(line):
    with pytest.raises(InvalidOption, match="Give an expression to measure"):
        parse(line, expression=True)
