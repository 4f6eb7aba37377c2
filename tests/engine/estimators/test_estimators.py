"""Estimates and weights against exact arithmetic, in fractions."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from engine.directions.radii import radii
from engine.estimators.estimate import gradients
from engine.estimators.probing import Probing
from engine.estimators.weighting import Weighting, weigh

SOME = [0.3, -1.25, 0.3, 7.0, -0.001, 0.3]
KINDS: list[Weighting] = ["spread", "centred", "rank"]


def test_two_sides_are_divided_by_two_eps_and_one_by_eps() -> None:
    plus, minus, eps = [0.7, 0.6931471805599453], [0.69, 0.7], 1e-3
    # The very floats of earlier releases: what was journaled is taken again from them.
    assert gradients(plus, minus, eps, Probing(queries=2)) == tuple(
        (p - m) / (2 * eps) for p, m in zip(plus, minus, strict=True)
    )
    one = gradients(plus, minus, eps, Probing(queries=2, sides="one"))
    assert one == pytest.approx([10.0, -6.8528194400547], rel=1e-12)
    assert math.isnan(gradients([math.nan], [0.5], eps, Probing())[0])
    assert gradients([math.inf], [0.5], eps, Probing())[0] == math.inf
    with pytest.raises(ValueError):
        gradients(plus, [0.69], eps, Probing(queries=2))


@pytest.mark.parametrize(("batch", "shards"), [(16, 1), (16, 4), (16, 16), (7, 3), (10, 4), (5, 5), (100, 7)])
def test_shards_are_contiguous_parts_that_hold_every_example_once(batch: int, shards: int) -> None:
    probing = Probing(queries=2, shards=shards)
    ranges = probing.shard_ranges(batch)
    assert len(ranges) == shards and probing.directions == 2 * shards
    assert [index for part in ranges for index in part] == list(range(batch))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
    for shard, part in enumerate(ranges):
        assert {probing.shard_of(index, batch) for index in part} == {shard}


def test_parts_of_equal_length_are_those_of_the_p_rge_recordings() -> None:
    assert Probing(shards=4).shard_ranges(8) == (range(2), range(2, 4), range(4, 6), range(6, 8))


def test_more_shards_than_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="batch of 3 has no 4 shards"):
        Probing(shards=4).shard_ranges(3)


def test_plain_weights_leave_the_very_floats() -> None:
    for some in (SOME, SOME[:1], [0.1, 0.1]):
        assert weigh("plain", some) == tuple(some)


def test_spread_divides_by_the_deviation_of_n_less_one() -> None:
    exact = [Fraction(value) for value in SOME]
    mean = sum(exact) / len(exact)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
    assert weigh("spread", SOME) == pytest.approx([value / deviation for value in SOME], rel=1e-14)
    for scale in (1e-200, 1e200):  # whose squares no float holds
        assert weigh("spread", [scale * value for value in SOME]) == pytest.approx(weigh("spread", SOME), rel=1e-13)


def test_centred_takes_away_the_mean_of_the_others() -> None:
    expected = [
        float(Fraction(value) - sum(Fraction(other) for other in SOME[:i] + SOME[i + 1 :]) / (len(SOME) - 1))
        for i, value in enumerate(SOME)
    ]
    assert weigh("centred", SOME) == pytest.approx(expected, rel=1e-14)
    assert not all(map(math.isfinite, weigh("centred", [1.7e308, 1.6e308, -1.7e308])))  # for the caller to see


def test_ranks_go_from_minus_a_half_to_a_half_and_ties_share_theirs() -> None:
    assert weigh("rank", [5.0, -3.0, 0.0]) == (0.5, -0.5, 0.0)
    assert weigh("rank", [1.0, 2.0, 2.0, 9.0]) == (-0.5, 0.0, 0.0, 0.5)
    assert weigh("rank", [0.0, 1.0, -0.0, 1.0]) == pytest.approx([-1 / 3, 1 / 3, -1 / 3, 1 / 3])
    random.seed(0)
    order = [random.gauss(0, 1) for _ in range(101)]
    below = [sum(other < value for other in order) / 100 - 0.5 for value in order]
    assert weigh("rank", order) == pytest.approx(below, abs=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_all_equal_says_nothing(kind: Weighting) -> None:
    for value in (0.1, -7.3e-5, 0.0):  # three times 0.1 is not 0.3
        assert weigh(kind, [value] * 3) == (0.0, 0.0, 0.0)
        assert weigh(kind, [value] * 7) == (0.0,) * 7


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stays_so_and_fewer_than_three_are_refused(kind: Weighting) -> None:
    for bad in (math.nan, math.inf, -math.inf):
        assert not all(map(math.isfinite, weigh(kind, [1.0, bad, 2.0])))
    assert not all(map(math.isfinite, weigh(kind, [math.inf, -math.inf, 2.0])))
    with pytest.raises(ValueError, match=f"2 gradients cannot be weighed by {kind}: it takes 3"):
        weigh(kind, [1.0, 2.0])


def test_the_kernel_leaves_the_slope_and_takes_the_cube_away() -> None:
    """Of a cubic, exactly, over r between -1 and 1; and its radii are there, with the mean 0 and the variance 1/3."""
    eps, slope, cube = 0.5, 2.0, -7.0
    distances = [-1 + (2 * k + 1) / 2000 for k in range(2000)]
    losses = [[slope * side * eps * r + cube * (side * eps * r) ** 3 for r in distances] for side in (1, -1)]
    found = gradients(*losses, eps, Probing(queries=2000, radii=tuple(distances)))
    assert math.fsum(found) / 2000 == pytest.approx(slope, rel=1e-4)
    drawn = [r for step in range(200) for r in radii(3, step, 4)]
    assert max(map(abs, drawn)) < 1 and len(set(drawn)) == 800
    assert abs(math.fsum(drawn) / 800) < 0.07 and math.fsum(r * r for r in drawn) / 800 == pytest.approx(1 / 3, rel=0.1)
    assert radii(3, 7, 4) != radii(4, 7, 4) and radii(3, 7, 2) == radii(3, 7, 4)[:2]
