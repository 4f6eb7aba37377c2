"""A sum of terms as two factors: all of it, or what of a rank is nearest to it, of few terms and of many."""

from __future__ import annotations

import pytest
import torch

from engine.export.terms import Sum
from engine.export.thin import side_by_side, truncated
from engine.models.weights import Matrix


def a_sum(terms: int, rows: int = 40, cols: int = 24) -> tuple[Sum, torch.Tensor]:
    """Terms of rank 2, each a third smaller than the one before; and the matrix that they make, in float64."""
    generator = torch.Generator().manual_seed(0)
    found, whole = Sum(Matrix("w", rows, cols)), torch.zeros(rows, cols, dtype=torch.float64)
    for number in range(terms):
        u, v = (torch.randn(length, 2, generator=generator) for length in (rows, cols))
        u *= 1e-6 * 0.66**number
        found.add(u, v)
        whole += u.double() @ v.double().T
    return found, whole


@pytest.mark.parametrize("terms", [1, 5, 12])
def test_side_by_side_is_the_sum_and_its_factors_are_of_one_size(terms: int) -> None:
    found, whole = a_sum(terms)
    b, a = side_by_side(found)
    assert b.shape == (40, 2 * terms) and a.shape == (2 * terms, 24)
    assert (b.double() @ a.double() - whole).abs().max() < 1e-6 * whole.abs().max()
    for number in range(terms):
        of_term = slice(2 * number, 2 * number + 2)
        assert 0.4 < b[:, of_term].norm() / a[of_term].norm() < 2.5
    # Powers of two: no bit of a factor is another.
    assert torch.equal(torch.frexp(b).mantissa, torch.frexp(torch.cat(found.u, 1)).mantissa)


@pytest.mark.parametrize("terms", [5, 12, 40])  # of rank 10, of the smaller side, and of more
@pytest.mark.parametrize("rank", [1, 4, 9])
def test_what_is_cut_down_is_the_nearest_of_its_rank(terms: int, rank: int) -> None:
    found, whole = a_sum(terms)
    assert (found.whole is not None) == (terms == 40)
    factors = truncated(found, rank)
    assert factors.b.shape == (40, rank) and factors.a.shape == (rank, 24)
    values = torch.linalg.svdvals(whole).square()
    off = float((factors.b.double() @ factors.a.double() - whole).square().sum())
    assert off == pytest.approx(float(values[rank:].sum()), rel=1e-3)
    assert factors.kept / factors.whole == pytest.approx(float(values[:rank].sum() / values.sum()), rel=1e-5)
    assert factors.whole == pytest.approx(float(values.sum()), rel=1e-4)


@pytest.mark.parametrize("terms", [2, 40])
def test_of_a_larger_rank_than_there_is_the_rest_is_zeros(terms: int) -> None:
    found, whole = a_sum(terms)
    factors = truncated(found, 64)
    assert factors.b.shape == (40, 64)
    assert not factors.b[:, 24:].any() and not factors.a[24:].any()
    assert (factors.b.double() @ factors.a.double() - whole).abs().max() < 1e-5 * whole.abs().max()
