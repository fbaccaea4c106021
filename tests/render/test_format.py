from __future__ import annotations

import math

import pytest

from jupyter_optim.render import format as fmt


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (111.3, "111 ms"), (26.44, "26.4 ms"), (0.0123, "12.3 µs"), (1500.0, "1.50 s"), (999.7, "1.00 s"),
        (0.99999, "1.00 ms"), (2e-5, "20.0 ns"), (0.0, "0 ms"), (123456.0, "123 s"), (1234567.0, "1,230 s"),
    ],
)  # fmt: skip
def test_times_have_three_digits_and_the_unit_that_suits(value_ms, words):
    assert fmt.duration(value_ms) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(440, "440 B"), (40, "40 B"), (90_900_000, "90.9 MB"), (1_210_000_000, "1.21 GB"), (0, "0 B")],
)
def test_sizes(value, words):
    assert fmt.size(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.834, "83%"), (0.0081, "0.8%"), (0.0002, "<0.1%"), (0.0, "0%"), (1.0, "100%"), (0.012, "1%")],
)
def test_shares(value, words):
    assert fmt.share(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(4.16, "4.2x"), (1.083, "1.08x"), (0.5, "0.50x"), (12.4, "12x"), (9.96, "10x")]
)
def test_speedups(value, words):
    assert fmt.ratio(value) == words


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
@pytest.mark.parametrize("words", [fmt.duration, fmt.size, fmt.share, fmt.ratio, fmt.count, fmt.flop])
def test_what_is_not_known_is_said_with_its_reason(words, value):
    assert words(value, "No GPU.") == "not available (No GPU)"
    assert words(value) == "not available"


def test_an_interval_is_in_the_unit_of_its_median():
    assert fmt.duration_interval(0.98, 0.95, 1.01) == "980 µs (95% CI 950 to 1,010)"
    assert fmt.duration_interval(111, None, None) == "111 ms"


def test_a_score_is_never_rounded_up_to_a_flawless_one():
    assert fmt.score(0.99996) == "0.99996"
    assert fmt.score(0.9936) == "0.9936"
    assert fmt.score(1.0) == "1"


def test_sizes_compared_in_words():
    assert [fmt.size_change(value) for value in (0.38, 1.1, 1.001, None)] == [
        "62% smaller", "10% larger", "same size", "",
    ]  # fmt: skip


def test_long_names_keep_both_ends():
    short = fmt.shorten("encoder.layer.0.intermediate.dense", 20)
    assert len(short) == 20
    assert short.startswith("encode")
    assert short.endswith("mediate.dense"[-12:])


def test_terminal_escapes_and_direction_marks_are_made_visible():
    assert fmt.visible("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc d"


@pytest.mark.parametrize("value", [-0.5, 0.0, 0.01, 0.5, 1.0, 7.0, None, math.nan])
def test_bars_stay_within_their_width(value):
    assert len(fmt.bar(value, 10)) <= 10
