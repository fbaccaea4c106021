"""Reports, traces and cards of a session on a machine with names in it."""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import subprocess
import sys

import msgspec
import pytest

from jupyter_optim.privacy import Cleaner, Identity, private
from jupyter_optim.render import to_bundle, to_page, to_png
from jupyter_optim.report import Line
from tests.render import samples

ALICE = Identity(users=frozenset({"alice"}), hosts=frozenset({"gpu-box-7"}), homes=("/home/alice",))
ABSOLUTE = re.compile(r"(?<![\w.:/<~])/(?:home|root|tmp|work|usr|opt|mnt|var|Users)/[\w.]+|[A-Z]:\\\\?\w+")

SCRIPT = """
import sys, torch
from torch import nn
import jupyter_optim as jo
from jupyter_optim.techniques.technique import Assessment, Technique
from jupyter_optim.techniques import registry

class Breaks(Technique):
    name, family, label, risk = "breaks", "fold", "Break", "None."
    def judge(self, subject):
        return Assessment(applies=True, reason="It reads " + sys.argv[1] + "/weights.bin.")
    def transform(self, draft, subject, options, progress):
        open(sys.argv[1] + "/no such folder/x.bin")
    def source(self, options, facts):
        return ""

import jupyter_optim.session.session as session_module
found = registry.techniques()
session_module.techniques = lambda: (*found, Breaks())
session_module.technique_named = lambda name: Breaks()

session = jo.optimize(nn.Sequential(nn.Linear(8, 8)).eval(), torch.randn(2, 8), with_paths="--with-paths" in sys.argv)
step = session.apply("breaks")
assert step.verdict == "failed"
session.report.save(sys.argv[2] + "/report.html")
session.report.save(sys.argv[2] + "/report.json")
session.report.save(sys.argv[2] + "/report.txt")
session.write_trace(sys.argv[2] + "/trace.json.gz")
print(step.reason)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Runs a session of a user zaphod-b, whose technique breaks with a path of theirs in its words."""

    def run(*options):
        home, out = tmp_path_factory.mktemp("home") / "zaphod-b", tmp_path_factory.mktemp("out")
        home.mkdir()
        variables = {"HOME": str(home), "USER": "zaphod-b", "LOGNAME": "zaphod-b"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(home), str(out), *options],
            env={**os.environ, **variables}, cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        files = {path.name: path.read_bytes() for path in out.iterdir()}
        files["reason"] = done.stdout.encode()
        files["trace.json.gz"] = gzip.decompress(files["trace.json.gz"])
        return {name: data.decode() for name, data in files.items()}

    return run


def test_nothing_that_a_session_writes_tells_where_it_ran(ran):
    written = ran()
    assert len(written) == 5
    for name, text in written.items():
        text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
        assert "zaphod" not in text, name
        assert platform.node() not in re.findall(r"[\w.-]+", text), name
        assert not ABSOLUTE.findall(text), name
    assert "no such folder/x.bin" in written["report.json"], "which file it was is still told"
    assert "no such folder/x.bin" in written["reason"]


def test_who_wants_paths_gets_them(ran):
    written = ran("--with-paths")
    assert "zaphod-b/no such folder/x.bin" in written["report.json"]
    assert "/zaphod-b/no such folder/x.bin" in written["report.html"]


def _told(**changes):
    return msgspec.structs.replace(samples.bert_after(), **changes)


def test_every_text_of_a_report_passes_the_door():
    # GIVEN a report that says a path and names in each text that is nobody's code
    said = "/home/alice/x/y.bin on gpu-box-7 by alice"

    def spoilt(value, field=""):
        if isinstance(value, str):
            return f"{value} {said}"
        if isinstance(value, msgspec.Struct):
            return type(value)(
                **{name: spoilt(getattr(value, name), name) for name in value.__struct_fields__}
            )
        if isinstance(value, dict):
            return {key: spoilt(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(spoilt(item) for item in value)
        return value

    report = spoilt(samples.bert_after())
    written = "this cell"
    lines = tuple(Line(source=written, lineno=1, text="x", ms=1.0, share=0.1) for _ in report.lines)
    report = msgspec.structs.replace(report, cell="1", lines=lines)
    # WHEN it passes, THEN no path is left in it, and no host or user in its sentences
    clean = private(report, Cleaner(ALICE, "/home/alice/nb"))
    assert "/home" not in clean.to_json()
    for text in (*(finding.text for finding in clean.findings), *(step.reason for step in clean.history)):
        assert "alice" not in text
        assert "gpu-box-7" not in text
    assert "/home" not in json.dumps(to_bundle(clean))


def test_a_report_without_any_is_the_very_same_one():
    report = samples.bert_after()
    assert private(report, Cleaner(ALICE, "/home/alice/nb")) is report


def test_what_was_written_into_a_cell_stays_as_it_was_written():
    # it stands in the notebook above, and line marks are matched by it
    code = 'model.load_state_dict(torch.load("/home/alice/net.pt"))'
    line = Line(source="this cell", lineno=1, text=code, ms=1.0, share=0.5)
    elsewhere = Line(source="net.py", lineno=1, text=code, ms=1.0, share=0.5)
    clean = private(_told(cell=code, lines=(line, elsewhere)), Cleaner(ALICE, "/home/alice/nb"))
    assert clean.cell == code
    assert clean.lines[0].text == code
    assert "/home" not in clean.lines[1].text


def test_pictures_hold_no_words_besides_what_they_show():
    png = to_png(samples.bert_after())
    at, kinds = 8, []
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kinds.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    words = [data for kind, data in kinds if kind in (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf")]
    assert all(b"/" not in each.replace(b"https://matplotlib.org/", b"") for each in words)


def test_pages_hold_none_either():
    report = private(_told(partial="stopped at /home/alice/x/y.py"), Cleaner(ALICE, "/home/alice/nb"))
    page = to_page(report)
    assert "/home/alice" not in page
    assert "x/y.py" in page
