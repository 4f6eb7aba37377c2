"""Dense directions are functions of seed, step, query and name; a step of 16 bits is neither lost nor drifts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from engine.directions import dense
from engine.directions.dense import Dense
from engine.directions.fold import state
from engine.directions.philox import Normals
from engine.models.weights import Matrix

CPU = torch.device("cpu")
MATRICES = [Matrix("embed", 301, 77), Matrix("norm", 1000, 1, whole=(1000,)), Matrix("proj", 40, 64)]


def whole(source: Dense, number: int, step: int, coefficients: dict[int, float]) -> torch.Tensor:
    pieces = [(rows, piece.clone()) for rows, piece in source.pieces(number, step, coefficients)]
    assert all(a.stop == b.start for (a, _), (b, _) in pairwise(pieces))
    return torch.cat([piece for _, piece in pieces])


@pytest.mark.parametrize("piece", [1, 5000, 2**20])
def test_pieces_of_any_size_are_the_numbers_that_are_drawn_at_once(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "PIECE", piece)
    source = Dense(MATRICES, 3, CPU, "nearest")
    together = torch.empty(sum(m.rows * m.cols for m in MATRICES))
    drawn = Normals(3, "z", [(m.name, m.rows * m.cols) for m in MATRICES], CPU)
    drawn.fill(together, 7, 2)
    parts = together.split([m.rows * m.cols for m in MATRICES])
    for number, (matrix, part) in enumerate(zip(MATRICES, parts, strict=True)):
        assert torch.equal(whole(source, number, 7, {2: 1.0}), part.view(matrix.rows, matrix.cols))
    both = 0.5 * whole(source, 0, 7, {0: 1.0}) - 2 * whole(source, 0, 7, {2: 1.0})
    assert torch.allclose(whole(source, 0, 7, {0: 0.5, 2: -2.0}), both)


def test_they_are_normal_and_differ_by_seed_step_query_and_name() -> None:
    first = whole(Dense(MATRICES, 3, CPU, "nearest"), 0, 7, {2: 1.0}).flatten()
    assert abs(first.mean()) < 0.02 and abs(first.std() - 1) < 0.02
    renamed = [Matrix("other", 301, 77)]
    for matrices, seed, step, query in (
        (MATRICES, 4, 7, 2),
        (MATRICES, 3, 8, 2),
        (MATRICES, 3, 7, 1),
        (renamed, 3, 7, 2),
    ):
        other = whole(Dense(matrices, seed, CPU, "nearest"), 0, step, {query: 1.0}).flatten()
        assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_steps_in_16_bits_add_up_with_a_residual(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(301, 77, generator=random).mul_(0.02).to(dtype)
    source = Dense(MATRICES[:1], 0, CPU, "residual")
    weight, lost, wanted = start.clone(), start.clone(), torch.zeros(301, 77, dtype=torch.float64)
    for step in range(200):
        source.learn(0, weight, step, [0.5, 0.0, -1.0], 1e-6)
        change = -1e-6 / 3 * (0.5 * whole(source, 0, step, {0: 1.0}) - whole(source, 0, step, {2: 1.0}))
        wanted += change.double()
        lost.add_(change.to(dtype))
    (fold,) = source.folds
    moved = state(weight, fold.residual).double() - start.double()
    assert (moved - wanted).norm() < 0.02 * wanted.norm()
    assert (lost.double() - start.double() - wanted).norm() > 0.2 * wanted.norm()  # what the residual is for
    kept = source.update_kept([weight])
    assert kept is not None and abs(kept.kept - 1) < 0.02 and kept.cosine > 0.999


def test_rounding_by_chance_keeps_steps_on_average_and_is_the_same_again() -> None:
    ends = []
    for _ in range(2):
        source, weight = Dense(MATRICES[:1], 0, CPU, "stochastic"), torch.full((301, 77), 0.5, dtype=torch.bfloat16)
        source.begin(0, weight)
        for step in range(30):
            source.learn(0, weight, step, [1.0], 1e-4)
        kept = source.update_kept([weight])
        assert kept is not None and abs(kept.kept - 1) < 0.3
        ends.append(weight)
    assert torch.equal(*ends) and not torch.equal(ends[0], torch.full_like(ends[0], 0.5))
