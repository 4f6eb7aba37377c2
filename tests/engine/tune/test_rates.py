"""First guesses against losses whose slope, curvature and noise are known."""

from __future__ import annotations

import math
import random

import pytest

from engine.estimators.estimate import kernel
from engine.preset.method import Method
from engine.tune import rates
from engine.tune.probes import Looked
from engine.tune.rates import first_rate
from engine.tune.scales import LADDER, choose, for_curvature, scales


def looked(eps: float, slope: float, bend: float, third: float, noise: float = 0.0, seed: int = 0) -> Looked:
    """Along one direction, L(t) = 1 + slope t + bend t^2 / 2 + third t^3, each loss with an error of its own."""
    chance = random.Random(f"{seed}/{eps}")

    def loss(t: float) -> float:
        return 1 + slope * t + bend * t * t / 2 + third * t**3 + chance.choice((-1, 1)) * noise / math.sqrt(2)

    return Looked(eps, (loss(eps),), (loss(-eps),), (loss(0.0),))


def rungs(first: float, **known: float) -> list[list[Looked]]:
    slopes = (1.0, -0.7, 1.6, -1.2)
    return [
        [looked(first * factor, slope, seed=seed, **known) for seed, slope in enumerate(slopes)] for factor in LADDER
    ]


def test_two_sided_probes_stop_where_noise_and_the_third_derivative_meet() -> None:
    found = scales(rungs(1e-3, bend=50.0, third=100.0, noise=1e-4), 1e-4, "two")
    assert [scale.eps for scale in found] == [1e-3 * factor for factor in LADDER[1:]]
    best = choose(found, 1e-7)  # none of them is the preset's own
    assert best is not None and best.error == min(scale.error for scale in found)
    # noise / (2 eps) against third eps^2, relative to gradients of about 1.2: least at eps^3 = noise / (4 third)
    assert 0.4 < best.eps / (1e-4 / 400) ** (1 / 3) < 2.5
    for scale in found:
        exact = math.hypot(1e-4 / (2 * scale.eps), 100 * scale.eps**2) / 1.17
        assert 0.4 < scale.error / exact < 2.5 or exact < 0.02


def test_the_presets_own_eps_stays_where_it_is_good_enough() -> None:
    found = scales(rungs(1e-3, bend=50.0, third=1.0, noise=1e-7), 1e-7, "two")
    assert choose(found, 1e-3) == next(scale for scale in found if scale.eps == 1e-3)
    assert choose(found, 1e-3) != min(found, key=lambda scale: scale.error)


def test_one_sided_probes_are_wrong_by_the_curvature() -> None:
    found = {scale.eps: scale for scale in scales(rungs(1e-3, bend=50.0, third=0.0), 0.0, "one")}
    # g (1 + h eps / (2 g)): 25 eps beside about 1.17
    assert found[1e-3].error == pytest.approx(25e-3 / 1.17, rel=0.1)
    assert found[1e-3].truncation < 1e-6
    assert for_curvature(list(found.values())) == found[16e-3]


def test_what_overflows_is_left_out() -> None:
    steep = rungs(1e-3, bend=50.0, third=1.0)
    steep[-1] = [Looked(steep[-1][0].eps, (math.nan,), (math.inf,), (1.0,))] * 4
    assert len(scales(steep, 1e-7, "two")) == len(LADDER) - 2
    assert choose([], 1e-3) is None and for_curvature([]) is None


def rate(gradients: list[list[list[float]]], curvature: float, **keys: object) -> float:
    """Of a method with these keys, whose curvature is the same along all directions."""
    method = Method.model_validate({"name": "lozo", **keys})
    flat = [[curvature] * len(of_set[0]) for of_set in gradients]
    lr = first_rate(method, gradients, flat, rows=64).lr
    assert lr is not None
    return lr


ALIKE = [[[1.0], [1.0]], [[-2.0], [-2.0]], [[0.5], [0.5]]]  # three directions, each the same on both batches


def test_without_noise_of_batches_the_rate_is_one_over_the_curvature() -> None:
    assert rate(ALIKE, 40.0) == pytest.approx(1 / 40)


def test_noise_of_batches_counts_for_no_slope() -> None:
    noisy = [[[g + e], [g - e]] for (g,), e in zip((one[0] for one in ALIKE), (1.5, -1.5, 1.5), strict=True)]
    squares = sum(g * g for of_set in noisy for (g,) in of_set) / 6
    slope = sum(a[0] * b[0] for a, b in noisy) / 3
    error = math.sqrt(sum((a[0] * b[0] - slope) ** 2 for a, b in noisy) / 2 / 3)
    assert slope < 0.1 * squares
    assert rate(noisy, 40.0) == pytest.approx(max(slope, error) / (squares * 40.0))


def test_directions_of_a_step_share_the_work() -> None:
    wide = [[[1.0, -1.0, 1.0, 1.0]] * 2, [[-1.0, 1.0, 1.0, -1.0]] * 2]
    assert rate(wide, 40.0, queries=4) == pytest.approx(4 / 40)


def test_a_rate_follows_what_weights_and_rules_divide_by() -> None:
    wide = [[[4.0, -4.0, 4.0, 4.0]] * 2, [[-4.0, 4.0, 4.0, -4.0]] * 2]
    plain = rate(wide, 40.0, queries=4)
    # Divided by their spread, of 3 against 1 and of 2 against 2: steps that are so much shorter take a longer rate.
    spreads = [4.0, math.sqrt(64 / 3)]
    squares = sum((4 / spread) ** 2 for spread in spreads) / 2
    slope = sum(4 * 4 / spread for spread in spreads) / 2
    assert rate(wide, 40.0, name="grzo", shards=4) == pytest.approx(4 * slope / squares / 40, rel=1e-6)
    kept = {"queries": 4, "rank": 4}
    muon = rate(wide, 40.0, name="zo-muon", sides="two", **kept)
    assert muon == pytest.approx(plain * (4 / 2) * math.sqrt(64))
    adam = rate(wide, 40.0, name="subzero", update="adam", **kept)
    assert adam == pytest.approx(plain * 4 / 2)


def test_nothing_is_suggested_where_there_is_nothing_to_see() -> None:
    method = Method.model_validate({"name": "lozo"})
    assert first_rate(method, [[[0.0], [0.0]]] * 3, [[0.0]] * 3, rows=64).lr is None


def test_the_moments_of_the_kernel_are_those_that_it_has() -> None:
    count = 200_000
    every = [-1 + (2 * index + 1) / count for index in range(count)]
    assert pytest.approx(sum((kernel(r) * r) ** 2 for r in every) / count, rel=1e-6) == rates._KERNEL
    assert pytest.approx(sum(kernel(r) ** 2 for r in every) / count, rel=1e-6) == rates._KERNEL_NOISE


def test_a_rate_of_chance_distances_is_that_of_the_gradients_which_they_give() -> None:
    """Against the same formula on gradients that a kernel weighed, of very many steps."""
    chance = random.Random("kernel")
    slopes = [chance.gauss(0, 1.0) for _ in range(20_000)]
    noise = 0.5

    def kernels(slope: float) -> float:
        r = chance.uniform(-1, 1)
        return kernel(r) * (r * slope + chance.gauss(0, noise))

    weighed = [kernels(slope) for slope in slopes]
    exact = sum(w * slope for w, slope in zip(weighed, slopes, strict=True)) / sum(w * w for w in weighed) / 40
    sets = [[[slope + chance.gauss(0, noise)] for _ in range(2)] for slope in slopes]
    method = Method.model_validate({"name": "kerzoo"})
    found = first_rate(method, sets, [[40.0]] * len(sets), rows=64, noise=noise).lr
    assert found == pytest.approx(exact, rel=0.06)
    assert found == pytest.approx(1 / (25 / 4 + 75 / 4 * noise**2) / 40, rel=0.03)


def test_a_kernel_makes_a_rate_smaller_by_what_it_makes_gradients_larger() -> None:
    plain = rate(ALIKE, 40.0)
    assert rate(ALIKE, 40.0, name="kerzoo") == pytest.approx(plain * 4 / 25)
    wide = [[[4.0, -4.0, 4.0, 4.0]] * 2, [[-4.0, 4.0, 4.0, -4.0]] * 2]
    spread = {"name": "grzo", "shards": 4}
    assert rate(wide, 40.0, **spread, radius="kernel") == pytest.approx(rate(wide, 40.0, **spread) / 2.5)
    scalar = {"name": "subzero", "update": "adam-scalar"}  # divides by the size that the gradients have
    assert rate(ALIKE, 40.0, **scalar, radius="kernel") == pytest.approx(rate(ALIKE, 40.0, **scalar) / 2.5)
