"""The interval of a share against figures that are published, and counted out."""

from __future__ import annotations

import math
import random

import pytest

from engine.runs.proportion import intervals, proportion_interval


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), Table I, method 3.
    [
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0.0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(share: float, count: int, low: float, high: float) -> None:
    assert proportion_interval(share, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_it_covers_about_as_often_as_it_says(share: float) -> None:
    count, covered = 500, 0.0
    for seen in range(count + 1):
        low, high = proportion_interval(seen / count, count)
        if low <= share <= high:
            covered += math.comb(count, seen) * share**seen * (1 - share) ** (count - seen)
    assert covered == pytest.approx(0.95, abs=0.01)


def test_of_a_mean_score_it_covers_no_less() -> None:
    chance, covered = random.Random(0), 0
    for _ in range(1000):  # F1 of an answer: mostly none or all of it, else something between, 0.55 in the mean
        seen = [chance.choice((0.0, 1.0, 0.5, 0.7)) for _ in range(200)]
        low, high = intervals({"f1": sum(seen) / len(seen)}, 900, len(seen))["f1"]
        covered += low <= 0.55 <= high
    assert covered >= 950


def test_of_texts_that_are_generated_only_those_count() -> None:
    metrics = {"accuracy": 0.5, "f1": 0.4, "exact_match": 0.2, "loss": 1.0}
    found = intervals(metrics, 100, 50)
    assert found == {
        "accuracy": proportion_interval(0.5, 100),
        "f1": proportion_interval(0.4, 50),
        "exact_match": proportion_interval(0.2, 50),
    }
    assert "f1" not in intervals(metrics, 100, 0)


def test_at_the_ends_it_ends() -> None:
    assert proportion_interval(1.0, 5)[1] == 1.0
    assert 0.0 <= proportion_interval(0.0, 5)[0] < 1e-15
