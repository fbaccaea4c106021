from __future__ import annotations

import unicodedata

import msgspec
import pytest

from jupyter_optim.render import to_text
from tests.render import samples


def cells(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


@pytest.mark.parametrize("name", samples.all_samples())
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, None])
def test_no_line_is_wider_than_asked(name, width):
    text = to_text(samples.all_samples()[name], width, samples.bert())
    assert max(map(cells, text.splitlines())) <= (width or 100)


@pytest.mark.parametrize("name", samples.all_samples())
def test_it_fits_a_few_screens(name):
    assert len(to_text(samples.all_samples()[name]).splitlines()) <= 90


def test_a_typical_model_takes_some_seventy_lines():
    assert len(to_text(samples.bert()).splitlines()) <= 74


def test_wide_characters_count_twice():
    report = samples.bert()
    rows = tuple(msgspec.structs.replace(row, path="编码器" * 30) for row in report.modules)
    text = to_text(msgspec.structs.replace(report, modules=rows), 80)
    assert max(map(cells, text.splitlines())) <= 80


def test_str_is_the_text():
    assert str(samples.bert()) == to_text(samples.bert())


@pytest.mark.parametrize(
    "figure",
    [
        "111 ms (95% CI 109 to 114)", "p95 118 ms", "8.98 calls/s", "71.9 samples/s", "45 repeats", "3 warm-up calls",
        "peak 142 MB", "90.3 MB", "22,565,376 parameters", "50.1 MB", "22.4 GFLOP", "198% of one core", "1.21 GB",
        "RAPL cannot be read without root", "int64[8, 128]", "36 Linear", "92.4 ms", "79%", "10 112 ms 93%", "112 ms",
        "93%", "31% of the tokens are padding", "Quantize to int8", "4.0x", "62% smaller", "Xeon", "torch 2.13.0",
        "no NVIDIA driver", "aten::addmm", "encoder.layer.5.intermediate.dense", "120 ms in all",
    ],
)  # fmt: skip
def test_every_figure_is_there(figure):
    assert figure in " ".join(to_text(samples.bert(), 120).split())


def test_the_history_says_what_came_of_each_step():
    text = to_text(samples.bert_after(), 120, samples.bert())
    for words in ("no gain", "left out", "undone", "kept", "4.2x (4.0 to 4.4)", "quality lost", "0.994 -> 0.993",
                  "failed", "OpenVINO has no operator", "at first 111 ms", "0.99996"):  # fmt: skip
        assert words in text


def test_remedies_stand_in_the_order_of_the_report():
    # the session's: by speed, or by size where that is the goal
    for recommendations in (samples.RECOMMENDATIONS, samples.RECOMMENDATIONS[::-1]):
        text = to_text(msgspec.structs.replace(samples.bert(), recommendations=recommendations))
        places = [text.index(each.label) for each in recommendations]
        assert places == sorted(places)


def test_what_is_not_known_has_its_reason():
    text = " ".join(to_text(samples.unknown()).split())
    for reason in ("the timer was interrupted", "the allocator was not watched", "no formula for aten::foo",
                   "RAPL cannot be read", "psutil was refused", "interrupted by the user"):  # fmt: skip
        assert reason in text


@pytest.mark.parametrize("name", samples.all_samples())
def test_neither_none_nor_nan_nor_control_characters(name):
    text = to_text(samples.all_samples()[name])
    words = text.replace("(", " ").replace(",", " ").split()
    assert not {"None", "nan", "inf", "NaN"}.intersection(words)
    assert not any(unicodedata.category(char) == "Cc" and char != "\n" for char in text)


def test_rows_that_are_left_out_are_counted():
    assert "more rows" in to_text(samples.huge())
    assert "and 54 earlier steps" in to_text(samples.long_history())


def test_a_remedy_that_would_be_slower_is_called_so():
    slower = msgspec.structs.replace(samples.RECOMMENDATIONS[0], predicted_speedup=0.63)
    text = to_text(
        msgspec.structs.replace(samples.bert(), recommendations=(slower, *samples.RECOMMENDATIONS[1:]))
    )
    assert "0.63x (slower)" in text


def test_the_cell_is_listed_with_the_time_of_each_line():
    report = samples.bert()
    text = to_text(report, 120).splitlines()
    start = text.index("This cell as it last ran, with the time of each line")
    listed = text[start + 1 : start + 1 + len(report.cell.splitlines())]
    assert [line.split()[0] for line in listed] == [str(number) for number in range(1, len(listed) + 1)]
    hot = next(line for line in listed if line.split()[0] == "10")
    assert "93%" in hot
    assert "█" in hot
    assert report.cell.splitlines()[9].strip() in hot
