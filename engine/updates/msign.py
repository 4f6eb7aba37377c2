"""The orthogonalised step: ZO-Muon (arXiv 2602.17155). Every direction of an estimate moves by about the same.

M <- beta M + (1 - beta) mean_d g_d Z_d  (beta = 0 in ZO-Muon),   X <- X - lr msign(M), of each matrix by itself

msign(U S V^T) = U V^T, here by five iterations of Newton and Schulz with Muon's coefficients: X <- M / (|M|_F + 1e-7),
then five times A = X^T X, X <- X P(A), P(A) = 3.4445 - 4.7750 A + 2.0315 A A. They bring singular values that are above
0.002 of the norm to between 0.68 and 1.21. What comes out has no size: lr alone says how far a step goes.

As the next A is P(A) A P(A), iterations are done on the shorter side, r x r, and X is multiplied by their product. That
product enlarges small singular values, and the rounding of large ones with them; so X, and A, are made anew once on
the way: errors stay below 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch

from engine.updates.memory import Carry, Memory, take_in

_ITERATIONS = (3, 2)  # before X is made anew, and after
_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315
_LEAST = 1e-7  # of a norm: an estimate of 0 is no step
TOGETHER = 2**24  # numbers of matrices of one shape that are worked on at once


class Msign(Memory):
    """Remembers M, if there is momentum."""

    def __init__(self, shapes: Sequence[tuple[int, int]], device: torch.device, momentum: float, carry: Carry) -> None:
        sizes = [rows * columns for rows, columns in shapes]
        self._mean = torch.zeros(sum(sizes), device=device)
        remembered = {"momentum": self._mean} if momentum else {}
        super().__init__(carry, remembered, projected=list(remembered))
        self._keep = momentum
        starts = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
        self._batches = _batches(shapes, starts)

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        take_in(self._mean, self._keep, gradients, direction)
        self.learned = True
        for (rows, columns), starts in self._batches:
            size = rows * columns
            mean = torch.stack([self._mean[start : start + size].view(rows, columns) for start in starts])
            for start, sign in zip(starts, msign(mean).unbind(), strict=True):
                into[start : start + size].view(rows, columns).sub_(sign, alpha=lr)


def msign(matrices: torch.Tensor) -> torch.Tensor:
    """msign of each of `matrices`, (count, rows, columns), float32."""
    if matrices.shape[1] < matrices.shape[2]:
        return msign(matrices.mT).mT
    x = matrices / (torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True) + _LEAST)
    for iterations in _ITERATIONS:
        square = x.mT @ x
        factor = _polynomial(square)
        product = factor
        for _ in range(iterations - 1):
            square = factor @ square @ factor
            factor = _polynomial(square)
            product = product @ factor
        x = x @ product
    return x


def _polynomial(square: torch.Tensor) -> torch.Tensor:
    """3.4445 - 4.7750 A + 2.0315 A A of each A: what an iteration multiplies by."""
    powers = torch.baddbmm(square, square, square, beta=_CUBIC, alpha=_QUINTIC)
    powers.diagonal(dim1=1, dim2=2).add_(_LINEAR)
    return powers


def _batches(shapes: Sequence[tuple[int, int]], starts: Sequence[int]) -> list[tuple[tuple[int, int], list[int]]]:
    """Where matrices of one shape begin, as many together as `TOGETHER` has room for: few kernels do them."""
    of_shape: dict[tuple[int, int], list[int]] = {}
    for shape, start in zip(shapes, starts, strict=True):
        of_shape.setdefault(shape, []).append(start)
    batches = []
    for shape, its in of_shape.items():
        count = max(1, TOGETHER // (shape[0] * shape[1]))
        batches += [(shape, its[first : first + count]) for first in range(0, len(its), count)]
    return batches
