"""Python and TypeScript agree on what a report is, and on how its figures read."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from jupyter_optim.render import format as figures

FOLDER = Path(__file__).resolve().parent.parent / "labextension"
CASES = json.loads((FOLDER / "src" / "report" / "format.cases.json").read_text(encoding="utf-8"))


def test_the_types_are_those_of_the_report():
    spec = importlib.util.spec_from_file_location("write_schema", FOLDER / "scripts" / "write_schema.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.TARGET.read_text(encoding="utf-8") == script.type_script(), (
        "run: python labextension/scripts/write_schema.py"
    )


@pytest.mark.parametrize("name", sorted(CASES))
def test_figures_read_as_in_the_extension(name):
    for value, text in CASES[name]:
        assert getattr(figures, name)(value) == text


def test_the_version_is_the_packages():
    import jupyter_optim

    assert jupyter_optim.__version__ == json.loads((FOLDER / "package.json").read_text())["version"]


def test_the_lock_names_no_address():
    # one would tie everybody to the registry that wrote it
    assert not re.search(r"https?:|archiveUrl|registry\.", (FOLDER / "yarn.lock").read_text(encoding="utf-8"))


def test_the_style_has_no_colour_but_the_themes():
    style = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "style").glob("*.css"))
    assert not re.search(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(", style, re.IGNORECASE)
