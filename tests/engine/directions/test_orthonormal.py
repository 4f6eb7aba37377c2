"""Bases against what defines them: orthonormal columns, and a triangle with a positive diagonal."""

from __future__ import annotations

import pytest
import torch

from engine.directions.orthonormal import orthonormalise
from engine.errors import UserError


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gram_schmidt(a: torch.Tensor) -> torch.Tensor:
    """The Q of a positive diagonal, column by column; twice, which makes it exact to float64."""
    q = a.double().clone()
    for column in range(q.shape[1]):
        for _ in range(2):
            q[:, column] -= q[:, :column] @ (q[:, :column].T @ q[:, column])
        q[:, column] /= q[:, column].norm()
    return q


def test_views_of_one_tensor_become_the_only_q_of_a_positive_diagonal() -> None:
    shapes = [(40, 3), (64, 64), (300, 16), (5, 1)]
    flat = gaussian(sum(n * r for n, r in shapes))
    views = [p.view(s) for p, s in zip(flat.split([n * r for n, r in shapes]), shapes, strict=True)]
    before = [view.clone() for view in views]
    orthonormalise(views)
    again = [view.clone() for view in before]
    orthonormalise(again)
    for view, a, other in zip(views, before, again, strict=True):
        assert (view.double() - gram_schmidt(a)).abs().max() < 1e-5
        assert torch.equal(view, other)  # beside others or not, in a view or not


def test_a_zero_on_the_diagonal_counts_as_positive() -> None:
    a = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    expected, upper = torch.linalg.qr(a)
    assert upper[1, 1] == 0
    orthonormalise([a])
    assert torch.equal(a[:, 0], torch.tensor([-1.0, 0.0, 0.0]))
    assert torch.equal(a[:, 1], expected[:, 1])


def test_frames_are_spread_evenly() -> None:
    """Each entry of Haar's has the mean 0 and, times n, the second moment 1 and the fourth 3 n / (n + 2)."""
    n, draws = 4, 3000
    frames = gaussian(draws, n, 2)
    orthonormalise(list(frames))
    entries = frames.double().view(draws, -1)
    assert entries.mean(0).abs().max() < 4 * (1 / n / draws) ** 0.5
    assert ((n * entries**2).mean(0) - 1).abs().max() < 4 * (1.0 / draws) ** 0.5
    assert ((n * n * entries**4).mean(0) - 3 * n / (n + 2)).abs().max() < 4 * (8 / draws) ** 0.5


def test_a_rank_above_the_rows_is_refused_before_anything_is_replaced() -> None:
    fine, low = gaussian(20, 4), gaussian(3, 4)
    kept = fine.clone()
    with pytest.raises(UserError, match=r"method\.rank is 4.*side of 3.*set method\.rank to 3"):
        orthonormalise([fine, low])
    assert torch.equal(fine, kept)
