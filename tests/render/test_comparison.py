from __future__ import annotations

import io
import re
import unicodedata
from functools import cache

import msgspec
import pytest
from IPython.lib.pretty import pretty
from PIL import Image

from jupyter_optim.analysis.compare import Comparison, compare
from jupyter_optim.render import comparison_html
from jupyter_optim.render.comparison import (
    comparison_figure,
    comparison_headline,
    comparison_text,
    render_comparison,
)
from tests.render import samples
from tests.render.html_reading import JUPYTERLAB_ATTRIBUTES, JUPYTERLAB_TAGS, Reading

NAMES = list(samples.all_samples())
PAIRS = [(a, b) for a in NAMES for b in NAMES]
replace = msgspec.structs.replace


@cache
def pair(a: str, b: str) -> Comparison:
    found = samples.all_samples()
    return compare(found[a], found[b])


def cells(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


# In a sentence


def test_it_says_how_much_faster_and_how_sure():
    assert comparison_headline(pair("bert", "bert_after")) == (
        "`BertModel` is 4.2x faster (95% CI 4.0 to 4.4): 111 ms -> 26.4 ms a call; weights 62% smaller."
    )


def test_slower_is_told_the_other_way_round():
    words = comparison_headline(pair("bert_after", "bert"))
    assert "is 4.2x slower (95% CI 4.0 to 4.4)" in words
    assert "163% larger" in words


def test_noise_is_called_noise():
    words = comparison_headline(compare(samples.bert(), samples.bert(104.0)))
    assert "as fast as before, within noise" in words
    assert "faster" not in words


def test_what_cannot_be_compared_has_its_reason():
    assert comparison_headline(pair("bert", "unknown")) == (
        "`BertModel` cannot be compared: the report after has no time of a call: the timer was interrupted."
    )


def test_unlike_is_said_at_once():
    other = replace(samples.bert(30.0), environment=replace(samples.ENVIRONMENT, threads=16))
    found = compare(samples.bert(), other)
    assert "not like for like" in comparison_headline(found)
    assert "Mind: Another machine" in comparison_text(found)


def test_an_assumed_interval_is_no_measured_one():
    once = replace(samples.bert(), latency=samples.latency(111.3, repeats=1))
    words = comparison_headline(compare(once, samples.bert(20.0)))
    assert "(assumed: " in words
    assert "95%" not in words


# For a terminal


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140])
def test_no_line_is_wider_than_asked(a, b, width):
    assert max(map(cells, comparison_text(pair(a, b), width).splitlines())) <= max(40, width)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_it_fits_a_few_screens_and_has_no_odd_words(a, b):
    text = comparison_text(pair(a, b))
    assert len(text.splitlines()) <= 90
    assert not {"None", "nan", "inf", "NaN"}.intersection(re.findall(r"[\w.]+", text))
    assert not any(unicodedata.category(char) == "Cc" and char != "\n" for char in text)


@pytest.mark.parametrize(
    "words",
    [
        "4.2x faster", "Added: Quantize to int8.", "36 Linear layers became DynamicQuantizedLinear", "94% of what was gained",
        "111 ms (95% CI 109 to 114)", "90.3 MB", "34.3 MB", "62% smaller", "88.1 ms", "8.06 ms", "-80.0 ms", "11x faster",
        "aten::addmm", "74 of 110 modules", "side by side", "run it again", "9 calls",
    ],
)  # fmt: skip
def test_the_text_has_it_all(words):
    assert words in " ".join(comparison_text(pair("bert", "bert_after"), 140).split())


def test_a_narrow_terminal_keeps_name_and_verdict():
    text = comparison_text(pair("bert", "bert_after"), 48)
    row = next(line for line in text.splitlines() if line.startswith("  scaled_dot"))
    assert row.endswith("noise")


# As html


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_it_is_well_formed_and_inert(a, b):
    found = Reading(render_comparison(pair(a, b), b"\x89PNG"))
    assert found.errors == []
    assert set(found.tags) <= JUPYTERLAB_TAGS
    for tag, attribute, value in found.attributes:
        assert attribute in JUPYTERLAB_ATTRIBUTES["*"] | JUPYTERLAB_ATTRIBUTES.get(tag, set())
        assert (tag, attribute) != ("img", "src") or value.startswith("data:image/png;base64,")
    assert found.tags.count("img") == 1
    assert "$" not in found.prose
    assert "\\" not in found.prose
    assert not {"None", "nan", "inf", "NaN"}.intersection(re.findall(r"[\w.]+", found.text))


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_markdown_does_not_end_the_html_early(a, b):
    lines = render_comparison(pair(a, b)).splitlines()
    assert all(line.strip() for line in lines)
    assert not any(line.startswith("    ") for line in lines)


def test_hostile_names_are_shown_as_they_are():
    found = Reading(render_comparison(pair("bert", "hostile")))
    assert "<script>alert('x')</script>" in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text


def test_the_html_has_every_figure():
    html = render_comparison(pair("bert", "bert_after"))
    assert html.startswith('<div class="jupyter-optim-comparison">')
    text = Reading(html).text
    for words in ("4.2x faster", "-80.0 ms", "Linear -> DynamicQuantizedLinear", "encoder.layer.5.intermediate.dense",
                  "aten::linear", "142 MB", "same size", "noise", "Added: Quantize to int8."):  # fmt: skip
        assert words in text


def test_tables_are_read_aloud_well():
    html = render_comparison(pair("bert", "bert_after"))
    assert html.count("<table") == html.count("<caption>") == html.count("<thead>")
    assert '<th scope="row"' in html


def test_the_picture_is_told_in_words_and_a_missing_one_explained():
    found = pair("bert", "bert_after")
    alt = {
        name: value for tag, name, value in Reading(render_comparison(found, b"")).attributes if tag == "img"
    }["alt"]
    assert "4.2x faster" in alt
    assert "36 Linear -> DynamicQuantizedLinear 88.1 ms -> 8.06 ms" in alt
    assert "no &lt;font&gt;" in render_comparison(found, "no <font>")


def test_a_comparison_shows_itself():
    found = pair("bert", "bert_after")
    assert str(found) == comparison_text(found)
    # what a notebook saves as the plain text of a cell's last value
    assert pretty(found) == str(found)
    tags = Reading(found._repr_html_()).tags
    assert tags.count("img") == 1
    assert "img" not in Reading(comparison_html(found, figure=False)).tags


# As a picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_picture_is_small_and_of_the_usual_width(a, b):
    png = comparison_figure(pair(a, b))
    assert len(png) <= 120_000
    image = Image.open(io.BytesIO(png))
    assert image.width == 1350
    assert image.height < 1300
    # its own paper, so that it reads on a light page and on a dark one
    assert min(image.convert("RGB").getpixel((4, 4))) > 240


def test_faster_and_slower_have_their_own_colours():
    def colours(a: str, b: str) -> set[tuple[int, int, int]]:
        image = Image.open(io.BytesIO(comparison_figure(pair(a, b)))).convert("RGB")
        return {colour for count, colour in image.getcolors(1 << 24) if count > 500}

    def near(found: set[tuple[int, int, int]], wanted: tuple[int, int, int]) -> bool:
        return any(sum(abs(x - y) for x, y in zip(colour, wanted, strict=True)) < 24 for colour in found)

    assert near(colours("bert", "bert_after"), (0x00, 0x72, 0xB2))
    assert not near(colours("bert", "bert_after"), (0xD5, 0x5E, 0x00))
    assert near(colours("bert_after", "bert"), (0xD5, 0x5E, 0x00))


def test_without_rows_the_two_calls_are_drawn_whole():
    bare = replace(samples.bert(30.0), ops=(), modules=())
    assert len(comparison_figure(compare(samples.bert(), bare))) > 5_000
