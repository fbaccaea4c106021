from __future__ import annotations

import re

import bleach
import msgspec
import nbformat
import pytest
from bleach.css_sanitizer import CSSSanitizer
from nbconvert import HTMLExporter, MarkdownExporter

from jupyter_optim.render import headline, to_bundle, to_html, to_page
from tests.render import samples
from tests.render.html_reading import JUPYTERLAB_ATTRIBUTES, JUPYTERLAB_TAGS, Reading

NAMES = list(samples.all_samples())
FIGURES = (
    "111 ms (95% CI 109 to 114)", "118 ms", "8.98 calls/s", "71.9 samples/s", "45 repeats", "3 warm-up calls", "142 MB",
    "90.3 MB", "22,565,376 parameters", "50.1 MB", "22.4 GFLOP", "198% of one core", "1.21 GB", "int64[8, 128]",
    "RAPL cannot be read without root", "36 Linear", "92.4 ms", "79%", "112 ms", "93%", "31% of the tokens are padding",
    "4.0x", "62% smaller", "Xeon", "torch 2.13.0", "no NVIDIA driver", "aten::addmm", "120 ms in all",
    "encoder.layer.5.intermediate.dense", "pooling.py:88", "41,202 events", "9 calls", "median of single calls",
    "timed on 4 of the 4 layer shapes", "Answers change in the third digit.", "aten::addmm: 36 calls, 92.4 ms",
)  # fmt: skip


def sanitized(html: str) -> str:
    """What is left of `html` in a JupyterLab that does not trust the notebook."""

    def allowed(tag: str, name: str, value: str) -> bool:
        return name in JUPYTERLAB_ATTRIBUTES["*"] or name in JUPYTERLAB_ATTRIBUTES.get(tag, ())

    return bleach.clean(
        html, tags=JUPYTERLAB_TAGS, attributes=allowed, protocols=("data", "https"), strip=True,
        css_sanitizer=CSSSanitizer(allowed_css_properties=["text-align"]) if CSSSanitizer else None,
    )  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_there(figure):
    assert figure in Reading(to_html(samples.bert(), figure=False)).text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", [to_html, to_page])
def test_it_is_well_formed_and_inert(name, draw):
    found = Reading(draw(samples.all_samples()[name], samples.bert()))
    assert found.errors == []
    forbidden = {"script", "svg", "iframe", "object", "form", "link"} | (
        {"style"} if draw is to_html else set()
    )
    assert not forbidden.intersection(found.tags)
    for tag, attribute, value in found.attributes:
        assert not attribute.startswith("on")
        assert attribute not in ("href", "srcdoc", "action")
        assert "javascript:" not in value.lower()
        assert (tag, attribute) != ("img", "src") or value.startswith("data:image/png;base64,")
    # the only pictures are ours, of time and of memory: markup in a name makes none
    assert 1 <= found.tags.count("img") <= 2


def test_hostile_names_are_shown_as_they_are():
    found = Reading(to_html(samples.hostile()))
    assert "<script>alert('x')</script>" in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text


def test_no_formula_is_left_for_a_viewer_to_set():
    # JupyterLab and nbconvert run MathJax over html outputs, code excepted
    found = Reading(to_html(samples.hostile()))
    assert "$" not in found.prose
    assert "\\" not in found.prose


@pytest.mark.parametrize("name", NAMES)
def test_jupyterlab_keeps_all_of_it_in_a_notebook_it_does_not_trust(name):
    html = to_html(samples.all_samples()[name], samples.bert())
    for tag, attribute, value in Reading(html).attributes:
        assert attribute in JUPYTERLAB_ATTRIBUTES["*"] | JUPYTERLAB_ATTRIBUTES.get(tag, set()), (
            tag,
            attribute,
            value,
        )
    kept = sanitized(html)
    assert Reading(kept).tags == list(Reading(html).tags)
    assert Reading(kept).text.split() == Reading(html).text.split()


@pytest.mark.parametrize("name", NAMES)
def test_neither_none_nor_nan(name):
    words = re.findall(r"[\w.]+", Reading(to_html(samples.all_samples()[name], figure=False)).text)
    assert not {"None", "nan", "inf", "NaN"}.intersection(words)


def test_what_is_not_known_has_its_reason():
    text = Reading(to_html(samples.unknown(), figure=False)).text
    for reason in ("the timer was interrupted", "the allocator was not watched", "no formula for aten::foo",
                   "RAPL cannot be read", "psutil was refused", "interrupted by the user",
                   "another profiler holds the trace", "the model refused a second call"):  # fmt: skip
        assert reason in text


def test_tables_are_read_aloud_well():
    html = to_html(samples.bert(), figure=False)
    assert html.count("<table") == html.count("<caption>") == html.count("<thead>")
    assert '<th scope="col"' in html
    assert '<th scope="row"' in html


def test_the_picture_is_told_in_words():
    alt = {name: value for tag, name, value in Reading(to_html(samples.bert())).attributes if tag == "img"}[
        "alt"
    ]
    assert "BertModel takes 111 ms" in alt
    assert "36 Linear 79%" in alt


def test_the_cell_is_listed_with_its_hot_lines():
    html = to_html(samples.bert(), figure=False)
    rows = [row for row in html.splitlines() if "hidden = model(**batch)" in row]
    assert len(rows) == 1
    assert "hot" in Reading(rows[0]).text
    assert "112 ms" in rows[0]
    assert "&nbsp;&nbsp;&nbsp;&nbsp;hidden" in rows[0]
    assert "def pooled(hidden, mask):" in html


def test_of_a_long_cell_the_dear_lines_are_listed():
    html = to_html(samples.huge(), figure=False)
    assert "x = layer_0(x)" in html
    assert "lines that cost less, or nothing" in html
    assert html.count("layer_") < 60


def test_figures_at_first_stand_beside_those_of_now():
    html = to_html(samples.bert_after(), samples.bert(), figure=False)
    row = next(row for row in html.splitlines() if "Time: median" in row)
    assert "26.4 ms" in row
    assert "111 ms" in row
    assert "At first" not in to_html(samples.bert(), samples.bert(), figure=False)


def test_the_history_says_what_came_of_each_step():
    text = Reading(to_html(samples.bert_after(), figure=False)).text
    for words in ("no gain", "left out", "undone", "kept", "4.2x (4.0 to 4.4)", "quality lost", "0.994 -> 0.993",
                  "failed", "OpenVINO has no operator", "0.99996", "Prune channels (ratio=0.3)"):  # fmt: skip
        assert words in text


def test_what_is_cut_is_said():
    text = Reading(to_html(samples.huge(), figure=False)).text
    assert "and 1,980 more rows" in text
    assert "and 30 earlier steps" in Reading(to_html(samples.long_history(), figure=False)).text


@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter])
@pytest.mark.parametrize("name", ["bert", "bert_after", "hostile"])
def test_an_exported_notebook_tells_the_same(exporter, name):
    report = samples.all_samples()[name]
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", to_bundle(report))])
    body, _ = exporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    text = " ".join(Reading(body).text.split())
    assert " ".join(headline(report).replace("`", "").split())[:200].rsplit(" ", 1)[0] in text
    assert "What was measured" in text


def test_markdown_does_not_end_the_html_early():
    # a blank line ends a block of html in CommonMark, and four spaces make it code
    for report in samples.all_samples().values():
        lines = to_html(report).splitlines()
        assert all(line.strip() for line in lines)
        assert not any(line.startswith("    ") for line in lines)


def test_a_page_stands_alone_in_light_and_dark():
    page = to_page(samples.bert())
    assert page.startswith("<!DOCTYPE html>")
    assert "prefers-color-scheme: dark" in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_a_picture_that_fails_does_not_cost_the_report(monkeypatch):
    def fails(*_: object) -> bytes:
        raise RuntimeError("no <font>")

    monkeypatch.setattr("jupyter_optim.render.figure.render_png", fails)
    html = to_html(samples.bert())
    assert "no &lt;font&gt;" in html
    assert "111 ms" in html
    assert "image/png" not in to_bundle(samples.bert())


def test_reports_of_no_change_are_not_compared():
    again = msgspec.structs.replace(samples.bert(), latency=samples.latency(108.0))
    assert "At first" not in to_html(again, samples.bert(), figure=False)
