"""Directions and losses against their definitions."""

from __future__ import annotations

import math

import torch

from engine.directions.learned import LowRank
from engine.directions.low_rank import draw_u, draw_v
from engine.models.weights import Matrix
from engine.tasks import objective
from engine.tasks.example import Example

CPU = torch.device("cpu")
MATRIX = Matrix("layers.0.fc1.weight", 300, 200)


def test_a_direction_depends_on_seed_step_query_and_name_and_on_nothing_else() -> None:
    def u(seed: int = 1, step: int = 2, query: int = 3, name: str = "a") -> torch.Tensor:
        return draw_u(Matrix(name, 300, 200), 4, seed=seed, step=step, query=query, device=CPU)

    first = u()
    torch.manual_seed(5)
    torch.randn(7)
    assert torch.equal(first, u())
    for other in (u(seed=2), u(step=3), u(query=2), u(name="b")):
        assert abs(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]) < 0.15


def test_factors_are_standard_normal_and_their_product_is_not_divided_by_the_rank() -> None:
    u = draw_u(MATRIX, 2, seed=0, step=0, query=0, device=CPU)
    v = draw_v(MATRIX, 2, seed=0, step=0, device=CPU)
    assert (u.shape, v.shape) == ((300, 2), (200, 2))
    for factor in (u, v):
        assert abs(factor.mean()) < 0.15
        assert abs(factor.std() - 1) < 0.1
    assert abs((u @ v.T).var() - 2) < 0.5  # variance r


def test_a_fold_keeps_everything_that_was_learned_and_starts_anew() -> None:
    state = LowRank(MATRIX, 2, seed=0, device=CPU, fold="nearest")
    state.redraw(0)
    weight = torch.zeros(300, 200)
    expected = torch.zeros(300, 200)
    for step, coefficient in enumerate([0.1, -0.2, 0.3]):
        state.learn(step, [coefficient])
        expected -= coefficient * state.u(step, 0) @ state.v.T
    state.fold_into(weight, 3)
    assert torch.allclose(weight, expected, atol=1e-5)
    assert not state.learned.any()


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
