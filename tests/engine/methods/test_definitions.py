"""Directions and losses against their definitions."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from engine.directions.learned import Learned
from engine.directions.low_rank import Drawn, directions
from engine.directions.space import Space
from engine.models.weights import Matrix
from engine.tasks import objective
from engine.tasks.example import Example

CPU = torch.device("cpu")
MATRIX = Matrix("layers.0.fc1.weight", 300, 200)


def u_of(matrix: Matrix, rank: int, *, seed: int, step: int, query: int, drawn: Drawn = "philox") -> torch.Tensor:
    out = torch.empty(matrix.rows * rank)
    directions(drawn, [matrix], Space(rank=rank), seed, CPU).u_into(out, step, query)
    return out.view(matrix.rows, rank)


@pytest.mark.parametrize("drawn", ["philox", "torch"])
def test_a_direction_depends_on_seed_step_query_and_name_and_on_nothing_else(drawn: Drawn) -> None:
    def u(seed: int = 1, step: int = 2, query: int = 3, name: str = "a") -> torch.Tensor:
        return u_of(Matrix(name, 300, 200), 4, seed=seed, step=step, query=query, drawn=drawn)

    first = u()
    torch.manual_seed(5)
    torch.randn(7)
    assert torch.equal(first, u())
    for other in (u(seed=2), u(step=3), u(query=2), u(name="b")):
        assert abs(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]) < 0.15


@pytest.mark.parametrize("drawn", ["philox", "torch"])
def test_factors_are_standard_normal_and_their_product_is_not_divided_by_the_rank(drawn: Drawn) -> None:
    source = directions(drawn, [MATRIX], Space(rank=2), 0, CPU)
    u, v = torch.empty(300, 2), torch.empty(200, 2)
    source.u_into(u.view(-1), 0, 0)
    source.v_into(v.view(-1), 0)
    for factor in (u, v):
        assert abs(factor.mean()) < 0.15
        assert abs(factor.std() - 1) < 0.1
    assert abs((u @ v.T).var() - 2) < 0.5  # variance r


@pytest.mark.parametrize("drawn", ["philox", "torch"])
def test_a_matrix_draws_the_same_whatever_lies_beside_it(drawn: Drawn) -> None:
    others = [Matrix("a", 33, 7), Matrix("b", 8, 5), MATRIX, Matrix("c", 1, 1)]
    flat = torch.empty(3 * sum(matrix.rows for matrix in others))
    directions(drawn, others, Space(rank=3), 4, CPU).u_into(flat, 9, 1)
    start = 3 * (33 + 8)
    assert torch.equal(flat[start : start + 900].view(300, 3), u_of(MATRIX, 3, seed=4, step=9, query=1, drawn=drawn))


def test_a_fold_keeps_everything_that_was_learned_and_starts_anew() -> None:
    learned = Learned([MATRIX], Space(), 0, CPU, "nearest", "philox")
    learned.redraw(0)
    (state,) = learned.states
    weight = torch.zeros(300, 200)
    expected = torch.zeros(300, 200)
    for step, coefficient in enumerate([0.1, -0.2, 0.3]):
        learned.learn(step, [coefficient], 1.0)
        expected -= coefficient * u_of(MATRIX, 2, seed=0, step=step, query=0) @ state.v.T
    assert learned.dirty
    state.fold_into(weight, 3)
    learned.folded()
    assert torch.allclose(weight, expected, atol=1e-5)
    assert not state.learned.any() and not learned.dirty


def test_classification_loss_is_cross_entropy_over_mean_log_probabilities() -> None:
    examples = [Example((1,), ((2,), (3, 4)), 1), Example((1,), ((2,), (3, 4)), 0)]
    scores = [[-1.0, -3.0], [-2.0, -3.0]]
    means = torch.tensor([[-1.0, -1.5], [-2.0, -1.5]])
    expected = torch.nn.functional.cross_entropy(means, torch.tensor([1, 0])).item()
    assert math.isclose(objective.loss("classification", examples, scores), expected, rel_tol=1e-6)
    assert objective.metrics("classification", examples, scores)["accuracy"] == 0.0
    assert objective.metrics("classification", examples, [[-9.0, -1.0], [-1.0, -9.0]])["accuracy"] == 1.0


def test_language_modelling_loss_is_the_mean_over_all_target_tokens_of_the_batch() -> None:
    examples = [Example((1,), ((2, 3, 4),), 0), Example((1,), ((5,),), 0)]
    assert objective.loss("lm", examples, [[-6.0], [-2.0]]) == 2.0
    assert set(objective.metrics("lm", examples, [[-6.0], [-2.0]])) == {"loss"}


@pytest.mark.parametrize("coordinates", ["u", "factors"])
def test_what_an_adapter_begins_as_is_there_before_the_first_step(coordinates: Literal["u", "factors"]) -> None:
    """A checkpoint of step 0 has it: a run that returns there would otherwise have nothing to learn with."""
    space = Space(coordinates=coordinates, basis="adapter", rank=4, scale=2.0)
    learned = Learned([MATRIX], space, 0, CPU, "nearest", "philox")
    assert learned.a is not None and 0 < float(learned.a.abs().max()) <= 1 / math.sqrt(200)
    assert torch.equal(learned.v, 2 * learned.a)
    before = learned.v.clone()
    learned.redraw(0)
    assert torch.equal(learned.v, before)
