"""Each rule against its formula, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from engine.updates.base import Rule, Update, update_of

CPU = torch.device("cpu")
SHAPES = [(40, 4), (7, 3), (40, 4), (3, 3), (2, 5)]
SIZE = sum(rows * columns for rows, columns in SHAPES)
STEPS = [(0.5, 1e-2), (-1.25, 1e-2), (0.0, 5e-3), (3e-2, 2e-3), (-40.0, 1e-3)]


def direction_of(step: int, index: int) -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(100 * step + index))


def gradients_of(step: int, count: int) -> list[float]:
    return [STEPS[step][0] * (1 + 0.3 * index) for index in range(count)]


def mean_of(step: int, count: int) -> torch.Tensor:
    """The estimate of a step, float64."""
    total = torch.zeros(SIZE, dtype=torch.float64)
    for index, gradient in enumerate(gradients_of(step, count)):
        total += gradient * direction_of(step, index).double()
    return total / count


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Five polynomials of its singular values, which is what msign comes to."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / (matrix.norm() + 1e-7)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ v


def walk(update: Update, count: int, steps: Sequence[int] = range(len(STEPS))) -> torch.Tensor:
    into = torch.linspace(-1, 1, SIZE)
    for step in steps:
        update.step(gradients_of(step, count), lambda index, step=step: direction_of(step, index), STEPS[step][1], into)  # type: ignore[misc]
    return into


def expected(rule: Callable[[int, torch.Tensor], torch.Tensor], count: int) -> torch.Tensor:
    """`rule`: of a step's number, from 1 on, and its estimate; what the rate is a factor of."""
    into = torch.linspace(-1, 1, SIZE).double()
    for step, (_, lr) in enumerate(STEPS):
        into -= lr * rule(step + 1, mean_of(step, count))
    return into


def close(got: torch.Tensor, wanted: torch.Tensor, within: float = 3e-7) -> bool:
    moved = (wanted - torch.linspace(-1, 1, SIZE).double()).abs().max()
    assert moved > 0.01
    return bool((got.double() - wanted).abs().max() < within * max(1.0, float(moved)))


@pytest.mark.parametrize("count", [1, 3])
def test_sgd_gives_the_bits_of_earlier_releases(count: int) -> None:
    """Runs that they began go on, and their journals are exported: what a step does to U_acc is what it did."""
    update = update_of(Rule(), SHAPES, CPU)
    into, theirs = torch.zeros(SIZE), torch.zeros(SIZE)
    for step, (_, lr) in enumerate(STEPS):
        gradients = gradients_of(step, count)
        coefficients = [lr * gradient / len(gradients) for gradient in gradients]
        update.step(gradients, lambda query, step=step: direction_of(step, query), lr, into)  # type: ignore[misc]
        for query, coefficient in enumerate(coefficients):
            if coefficient:
                theirs.sub_(direction_of(step, query), alpha=coefficient)
        assert torch.equal(into, theirs)
        # And each to the last bit of a float64.
        exact = torch.zeros(count, dtype=torch.float64)
        update.step(gradients, torch.eye(count, dtype=torch.float64).__getitem__, lr, exact)
        assert (-exact).tolist() == coefficients
    assert into.any() and update.state() == {} and update.settled() == {}


def test_a_direction_with_no_gradient_is_never_asked_for() -> None:
    def none(index: int) -> torch.Tensor:
        raise AssertionError(index)

    for name in ("sgd", "momentum", "adam-scalar", "msign", "adam"):
        into = torch.ones(SIZE)
        update_of(Rule(name=name), SHAPES, CPU).step([0.0, 0.0], none, 0.1, into)  # type: ignore[arg-type]
        assert torch.equal(into, torch.ones(SIZE)), name


@pytest.mark.parametrize("count", [1, 3])
def test_momentum_begins_with_nothing_and_takes_in_a_share_of_each_step(count: int) -> None:
    remembered = torch.zeros(SIZE, dtype=torch.float64)

    def rule(step: int, mean: torch.Tensor) -> torch.Tensor:
        nonlocal remembered
        remembered = 0.8 * remembered + 0.2 * mean
        return remembered

    assert close(walk(update_of(Rule(name="momentum", momentum=0.8), SHAPES, CPU), count), expected(rule, count))


@pytest.mark.parametrize("count", [1, 3])
def test_adam_of_the_scalar_divides_the_rate_by_the_size_of_the_gradients(count: int) -> None:
    squares = 0.0

    def rule(step: int, mean: torch.Tensor) -> torch.Tensor:
        nonlocal squares
        squares = 0.9 * squares + 0.1 * sum(gradient**2 for gradient in gradients_of(step - 1, count)) / count
        return mean / (math.sqrt(squares / (1 - 0.9**step)) + 1e-8)

    update = update_of(Rule(name="adam-scalar", second_momentum=0.9), SHAPES, CPU)
    assert close(walk(update, count), expected(rule, count))


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_msign_raises_the_singular_values_of_each_matrix_by_five_polynomials(momentum: float) -> None:
    remembered = torch.zeros(SIZE, dtype=torch.float64)

    def rule(step: int, mean: torch.Tensor) -> torch.Tensor:
        nonlocal remembered
        remembered = momentum * remembered + (1 - momentum) * mean
        parts = remembered.split([rows * columns for rows, columns in SHAPES])
        return torch.cat(
            [orthogonalised(part.view(shape)).flatten() for part, shape in zip(parts, SHAPES, strict=True)]
        )

    update = update_of(Rule(name="msign", momentum=momentum), SHAPES, CPU)
    assert close(walk(update, 3), expected(rule, 3), within=1e-6)


def test_msign_does_as_well_where_singular_values_are_far_apart() -> None:
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(400, 32, generator=random)
    matrix[:, 1:] *= 1e-2
    matrix = matrix @ torch.linalg.qr(torch.randn(32, 32, generator=random))[0]
    into = torch.zeros(matrix.numel())
    update = update_of(Rule(name="msign", momentum=0.0), [(400, 32)], CPU)
    update.step([1.0], lambda index: matrix.flatten(), 1.0, into)
    assert (into.double().view(400, 32) + orthogonalised(matrix.double())).abs().max() < 5e-6


def test_msign_of_matrices_that_are_worked_on_apart_is_that_of_all_at_once(monkeypatch: Any) -> None:
    together = walk(update_of(Rule(name="msign"), SHAPES, CPU), 1)
    monkeypatch.setattr("engine.updates.msign.TOGETHER", 1)
    assert (walk(update_of(Rule(name="msign"), SHAPES, CPU), 1) - together).abs().max() < 1e-6


@pytest.mark.parametrize("count", [1, 3])
def test_adam_is_that_of_torch_in_float64(count: int) -> None:
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, SIZE).double())
    theirs = torch.optim.Adam([parameter], betas=(0.8, 0.9), eps=1e-8)
    for step, (_, lr) in enumerate(STEPS):
        theirs.param_groups[0]["lr"] = lr
        parameter.grad = mean_of(step, count)
        theirs.step()
    update = update_of(Rule(name="adam", momentum=0.8, second_momentum=0.9), SHAPES, CPU)
    assert close(walk(update, count), parameter.detach(), within=1e-6)
