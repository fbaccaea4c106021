"""The saved file in the hands of those who have no kernel, no extension, and not even JupyterLab."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import bleach
import pytest
from nbconvert import HTMLExporter, LatexExporter, MarkdownExporter

from jupyter_optim.render import format as fmt
from jupyter_optim.render.headline import headline
from jupyter_optim.render.listing import in_cell
from jupyter_optim.report import MIME_TYPE
from tests.render.html_reading import Reading

GITHUB_TAGS = frozenset(
    [
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "br",
        "b",
        "i",
        "strong",
        "em",
        "a",
        "pre",
        "code",
        "img",
        "tt",
        "div",
        "ins",
        "del",
        "sup",
        "sub",
        "p",
        "picture",
        "ol",
        "ul",
        "table",
        "thead",
        "tbody",
        "tfoot",
        "blockquote",
        "dl",
        "dt",
        "dd",
        "kbd",
        "q",
        "samp",
        "var",
        "hr",
        "ruby",
        "rt",
        "rp",
        "li",
        "tr",
        "td",
        "th",
        "s",
        "strike",
        "summary",
        "details",
        "caption",
        "figure",
        "figcaption",
        "abbr",
        "bdo",
        "cite",
        "dfn",
        "mark",
        "small",
        "source",
        "span",
        "time",
        "wbr",
    ]
)
GITHUB_ATTRIBUTES = {
    "*": [
        "abbr",
        "accept",
        "action",
        "align",
        "alt",
        "axis",
        "border",
        "char",
        "charoff",
        "charset",
        "checked",
        "clear",
        "cols",
        "colspan",
        "compact",
        "coords",
        "datetime",
        "dir",
        "disabled",
        "headers",
        "height",
        "hreflang",
        "hspace",
        "ismap",
        "label",
        "lang",
        "maxlength",
        "media",
        "method",
        "multiple",
        "name",
        "nohref",
        "noshade",
        "nowrap",
        "open",
        "progress",
        "prompt",
        "readonly",
        "rel",
        "rev",
        "role",
        "rows",
        "rowspan",
        "rules",
        "scope",
        "selected",
        "shape",
        "size",
        "span",
        "start",
        "summary",
        "tabindex",
        "title",
        "type",
        "usemap",
        "valign",
        "value",
        "width",
        "itemprop",
        "aria-describedby",
        "aria-hidden",
        "aria-label",
        "aria-labelledby",
    ],
    "a": ["href"],
    "img": ["src", "longdesc", "loading"],
}
"""What GitHub's sanitizer lets through: the allow-list of its html-pipeline."""

VS_CODE = (
    "application/json", "application/javascript", "text/html", "image/svg+xml", "text/latex", "text/markdown",
    "image/png", "image/jpeg", "text/plain",
)  # fmt: skip
"""The order in which VS Code shows one form of an output (`notebookCommon.ts`); others need a renderer of their own."""


def github(html: str, *, pictures: bool = True) -> str:
    """What GitHub shows of `html`; in Markdown without pictures that are in the text itself."""
    protocols = {"http", "https", "mailto"} | ({"data"} if pictures else set())
    return bleach.clean(html, tags=GITHUB_TAGS, attributes=GITHUB_ATTRIBUTES, protocols=protocols, strip=True)


def told(text: str) -> str:
    """`text` as one line."""
    return " ".join(text.replace("\u00a0", " ").split())


def check_all_is_told(report, text):
    """The numbers, the marked listing, and the history."""
    text = told(text)
    assert told(headline(report).replace("`", "").split(" takes ")[0]) in text
    median = fmt.duration(report.latency.median_ms)
    for figure in (median, fmt.size(report.memory.weights_bytes), fmt.size(report.memory.peak_bytes)):
        assert figure in text
    lines = in_cell(report)
    assert len(lines) >= 3
    for line in lines:
        assert told(line.text) in text
        assert fmt.duration(line.ms) in text
    assert re.search(r"\bhot\b", text)
    assert len(report.history) == 2
    for step in report.history:
        assert step.label in text
        assert step.verdict in text
        assert fmt.ratio_interval(step.speedup.low, step.speedup.median, step.speedup.high) in text


def test_the_html_that_github_shows_tells_all_of_it(saved):
    html = saved.bundle["text/html"]
    kept = github(html)
    check_all_is_told(saved.report, Reading(kept).text)
    assert Reading(kept).text.split() == Reading(html).text.split(), "nothing was in what it takes out"
    assert not {"style", "script", "svg"} & set(Reading(kept).tags)
    assert not {"style", "class", "id"} & {name for _, name, _ in Reading(kept).attributes}
    assert Reading(kept).tags.count("img") == Reading(html).tags.count("img") >= 1
    # tables still read: numbers to the right, and heads of columns and rows
    assert ("td", "align", "right") in Reading(kept).attributes
    assert {("th", "scope", "col"), ("th", "scope", "row")} <= set(Reading(kept).attributes)


def test_without_pictures_their_words_are_left(saved):
    kept = Reading(github(saved.bundle["text/html"], pictures=False))
    check_all_is_told(saved.report, kept.text)
    words = [value for tag, name, value in kept.attributes if (tag, name) == ("img", "alt")]
    assert words
    assert fmt.duration(saved.report.latency.median_ms) in words[0]


def test_nbconvert_html(saved):
    body, _ = HTMLExporter().from_filename(str(saved.path))
    check_all_is_told(saved.report, Reading(body).text)
    assert 'src="data:image/png;base64,' in body
    assert "Loading widget" not in body
    assert "need a running kernel" in body
    assert not re.search(r"\\begin\{verbatim\}", body), "the form for print is for print only"


def test_nbconvert_markdown(saved):
    body, _ = MarkdownExporter().from_filename(str(saved.path))
    check_all_is_told(saved.report, Reading(body).text)
    assert 'src="data:image/png;base64,' in body
    assert "    <" not in body, "deep indents would make code of the html"


def _from_latex(body: str) -> str:
    for plain, escaped in (("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("#", r"\#"), ("$", r"\$")):
        body = body.replace(escaped, plain)
    return body


def test_nbconvert_latex(saved):
    body, _ = LatexExporter().from_filename(str(saved.path))
    check_all_is_told(saved.report, _from_latex(body))
    # the figure is drawn with rules, and so is its legend
    assert len(re.findall(r"\\color\[HTML\]\{[0-9A-F]{6}\}\\rule", body)) > 5
    assert "Where the time of one call goes" in body
    assert "What was tried (speed-up, 95\\% CI)" in body


@pytest.mark.skipif(not shutil.which("xelatex"), reason="no TeX on this machine")
def test_nbconvert_pdf(saved, tmp_path):
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "pdf",
        str(saved.path),
        "--output-dir",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "saved.pdf").read_bytes().startswith(b"%PDF")


def test_vs_code_shows_the_html(saved):
    forms = [kind for kind in VS_CODE if kind in saved.bundle]
    assert forms[0] == "text/html"
    # what is in no list is shown by an extension that knows it, and there is none for our data
    assert set(saved.bundle) - set(VS_CODE) == {MIME_TYPE}
    # the controls, beside it: without ipywidgets, the sentence that says what to do
    (controls,) = (
        each.data for each in saved.notebook.cells[1].outputs if "running kernel" in str(each.get("data"))
    )
    assert next(kind for kind in VS_CODE if kind in controls) == "text/html"


def test_a_terminal_shows_the_text(saved):
    check = told(saved.bundle["text/plain"])
    assert fmt.duration(saved.report.latency.median_ms) in check
    assert "What was tried" in check
