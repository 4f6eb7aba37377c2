"""The sum of a matrix's terms as two factors, B A: exactly, or by its largest singular values.

Of [U_1 .. U_k] [V_1 .. V_k]^T the singular values are those of the small core R_u R_v^T between thin QR factorisations
of both sides. Of more terms than the smaller side of the matrix has numbers, the core would be no smaller: its range
is found by subspace iteration (Halko, Martinsson, Tropp, arXiv 0909.4061), which is thin as well.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from engine.export.terms import Sum

_MORE = 16  # columns of the range beyond those that are asked for
_ROUNDS = 4  # of subspace iteration


class Factors(NamedTuple):
    """B, (rows, rank), and A, (rank, cols), float32; squared sizes (Frobenius) of B A, and of the whole sum."""

    b: torch.Tensor
    a: torch.Tensor
    kept: float
    whole: float


def side_by_side(of: Sum) -> tuple[torch.Tensor, torch.Tensor]:
    """B and A that hold every term as it is: their rank is that of all intervals together.

    U_acc is some millionths of V: each term's two factors are brought to one size, by a power of two, which changes no
    bit of their product and keeps what serves them in float16 from losing it.
    """
    b, a = [], []
    for u, v in zip(of.u, of.v, strict=True):
        by = _evened(u, v)
        b.append(u * by)
        a.append(v.T / by)
    return torch.cat(b, 1), torch.cat(a)


def _evened(u: torch.Tensor, v: torch.Tensor) -> float:
    large, small = float(v.square().mean()), float(u.square().mean())
    if not (large > 0 and small > 0):
        return 1.0
    return float(2.0 ** round(torch.tensor(large / small).log2().item() / 4))


def truncated(of: Sum, rank: int) -> Factors:
    """The factors of this rank that are nearest to the sum, filled up with zeros where it has a smaller one."""
    left, values, right, whole = _by_core(of) if of.whole is None else _by_range(of.whole, rank)
    values = values[:rank]
    root = values.sqrt()
    b = torch.zeros(of.matrix.rows, rank)
    a = torch.zeros(rank, of.matrix.cols)
    count = len(values)
    b[:, :count] = left[:, :count] * root
    a[:count] = root[:, None] * right[:count]
    return Factors(b, a, float(values.square().sum()), whole)


_Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]
"""Left singular vectors, values, right ones, (count, cols), and the squared size of it all."""


def _by_core(of: Sum) -> _Parts:
    left, core_u = torch.linalg.qr(torch.cat(of.u, 1).double())
    right, core_v = torch.linalg.qr(torch.cat(of.v, 1).double())
    u, values, v = torch.linalg.svd(core_u @ core_v.T)
    return left @ u, values, v @ right.T, float(values.square().sum())


def _by_range(whole: torch.Tensor, rank: int) -> _Parts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same file from the same run
        count = min(rank + _MORE, *whole.shape)
        u, values, v = torch.svd_lowrank(whole.double(), q=count, niter=_ROUNDS)
    return u, values, v.T, float(whole.double().square().sum())
