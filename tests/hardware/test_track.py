"""A track is bounded, and its figures are of all that it was given."""

from __future__ import annotations

import pytest

from jupyter_optim.hardware.track import POINTS, Track


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 119, 120, 121, 5000])
def test_bounded_and_true(count: int) -> None:
    track = Track("W")
    for i in range(count):
        track.add(i * 0.1, float(i))
    series = track.series()
    assert (series.low, series.high) == (0, count - 1)
    assert series.mean == pytest.approx((count - 1) / 2)
    assert 1 <= len(series.values) == len(series.times_s) <= POINTS
    assert count < 2 * POINTS or len(series.values) >= POINTS / 2 - 1
    assert list(series.times_s) == sorted(series.times_s)
    # the shape is kept: each point is the mean of what it stands for
    for at, value in zip(series.times_s, series.values, strict=True):
        assert value == pytest.approx(at / 0.1)


def test_a_rate_is_weighed_by_its_time() -> None:
    track = Track("%")
    track.add(1.0, 100.0, weight=1.0)
    track.add(1.1, 0.0, weight=0.1)
    assert track.series().mean == pytest.approx(100 / 1.1)


def test_nothing_seen() -> None:
    assert Track("B").series("forbidden").reason == "forbidden"
    assert Track("B").series().reason == "the window was too short"
    assert Track("B").series().mean is None


def test_without_points() -> None:
    track = Track("%")
    track.add(0.0, 1.0)
    assert track.series(points=False).values == ()
    assert track.series(points=False).mean == 1.0
