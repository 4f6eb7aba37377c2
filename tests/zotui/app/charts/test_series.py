"""Series of any length in little room, and what they are drawn as."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from zotui.app.charts.braille import Dots
from zotui.app.charts.series import Series
from zotui.app.charts.ticks import LogTicks, label


def test_a_long_series_stays_small_and_even() -> None:
    series = Series(capacity=1000)
    for number in range(100_000):
        series.add(number, math.sin(number))
    assert 500 <= len(series.x) <= 1000
    assert {b - a for a, b in pairwise(series.x)} == {series.stride}
    assert series.x[0] == 0 and series.x[-1] > 99_000
    points = series.points(160)
    assert len(points.x) <= 161 and len(points.low) == len(points.high) == len(points.mean) == len(points.x)
    assert list(points.low) < list(points.mean) < list(points.high)


def test_thinning_keeps_every_peak() -> None:
    series = Series(capacity=64)
    for step in range(20_000):
        series.add(step, 5.0 if step == 12_345 else step % 7 / 7)
    points = series.points(40)
    assert len(points.x) <= 40 and list(points.x) == sorted(points.x)
    assert [value for value in points.high if value > 1] == [5.0]
    peak = points.high.argmax()
    assert points.x[peak] <= 12_345 < points.x[peak + 1]


@pytest.mark.parametrize("sizes", [[1] * 5000, [5000], [7, 1, 64, 900, 2000, 2028], [4999, 1]], ids=str)
def test_steps_come_one_by_one_or_all_at_once(sizes: list[int]) -> None:
    values = np.random.default_rng(1).normal(size=5000)
    series, begin = Series(capacity=64), 0
    for size in sizes:
        series.extend(np.arange(begin, begin + size), values[begin : begin + size])
        begin += size
    stretches = [values[start : start + series.stride] for start in range(0, 5000, series.stride)]
    points = series.points(1000)
    assert len(points.x) == len(stretches)
    assert list(points.low) == [part.min() for part in stretches]
    assert list(points.high) == [part.max() for part in stretches]
    assert list(points.mean) == pytest.approx([part.mean() for part in stretches])


def test_no_peak_is_lost_however_few_points_are_asked_for() -> None:
    series = Series(capacity=64)
    for step in range(20_000):
        series.add(step, {12_345: 5.0, 777: -3.0}.get(step, step % 7 / 7))
    for most in (1, 3, 40, 1000):
        points = series.points(most)
        assert (points.high.max(), points.low.min()) == (5.0, -3.0)


def test_a_part_of_it_is_drawn_from_its_own_points_and_their_neighbours() -> None:
    series = Series(capacity=1000)
    series.extend(np.arange(1000), np.arange(1000.0))
    points = series.points(50, 400, 420)
    assert points.x[0] <= 400 and points.x[-1] >= 420 and 21 <= len(points.x) <= 25
    assert series.points(50, 2000, 3000).x.tolist() == [998.0, 999.0]
    assert len(Series().points(50).x) == 0


def test_the_mean_is_unbiased_and_follows() -> None:
    series = Series()
    series.add(0, 2.0)
    assert series.smooth(10) == [pytest.approx(2.0)]
    for number in range(1, 200):
        series.add(number, 1.0)
    assert series.smooth(10)[-1] == pytest.approx(1.0, abs=1e-6)
    series.add(200, math.nan)
    assert series.x[-1] == 199
    series.add(201, math.inf)
    assert series.smooth(10)[-1] == pytest.approx(1.0, abs=1e-6)


def test_the_mean_is_the_same_however_often_it_is_asked_for() -> None:
    values = np.random.default_rng(2).normal(size=3000)
    asked, alone = Series(capacity=256), Series(capacity=256)
    for step, value in enumerate(values):
        asked.add(step, value)
        if step % 17 == 0:
            asked.smooth(40)
    alone.extend(np.arange(3000), values)
    assert asked.smooth(40) == pytest.approx(alone.smooth(40))
    assert asked.smooth(400)[-1] == pytest.approx(alone.smooth(400)[-1])


def test_a_line_has_no_gaps_and_keeps_its_peaks() -> None:
    dots = Dots(20, 10)
    dots.line(np.array([0.0, 9.9, 10.0, 10.1, 19.9]), np.array([9.0, 9.0, 0.5, 9.0, 9.0]))
    cells = {(x, y): sign for x, y, sign in dots.cells()}
    assert {x for x, _ in cells} == set(range(20))
    assert {y for x, y in cells if x in (9, 10)} == set(range(10))
    points = Dots(3, 2)
    points.points(np.array([0.0, 2.75, 99.0]), np.array([0.0, 1.9, 0.0]))
    assert list(points.cells()) == [(0, 0, "⠁"), (2, 1, "⢀")]


@pytest.mark.parametrize(("low", "high"), [(1e-7, 1e-3), (0.3, 0.7), (1.0, 900.0), (1e-5, 1.1e-5)])
@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_logarithmic_axis_has_figures_that_differ(low: float, high: float, most: int) -> None:
    ticks = LogTicks(most).get_ticks(math.log10(low), math.log10(high))
    labels = LogTicks(most).get_labels_for_ticks(ticks)
    assert 1 <= len(ticks) <= max(2, most + 1) and len(set(labels)) == len(labels)
    assert all(low * 0.999 <= float(text.replace("k", "e3")) <= high * 1.001 for text in labels)


@pytest.mark.parametrize(
    ("number", "gap", "text"),
    [(0.35, 0.05, "0.35"), (0.0, 0.1, "0"), (1.2e-6, 1e-7, "1.2e-6"), (24000, 1000, "24k"), (1e-7, 1e-7, "1e-7")],
)
def test_figures_at_an_axis(number: float, gap: float, text: str) -> None:
    assert label(number, gap) == text
