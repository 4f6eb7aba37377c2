"""What was learned of one matrix since its last fold: U_acc V^T, kept in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.directions import Matrix, draw_u, draw_v


class LowRank:
    """The factors of one matrix; the weight itself lives elsewhere.

    Attributes: v, (cols, rank), the basis of the interval; learned, U_acc, (rows, rank).
    """

    def __init__(self, matrix: Matrix, rank: int, seed: int, device: torch.device) -> None:
        self.matrix = matrix
        self._rank, self._seed, self._device = rank, seed, device
        self.v = torch.zeros(matrix.cols, rank, device=device)
        self.learned = torch.zeros(matrix.rows, rank, device=device)

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`. Fold first."""
        self.v = draw_v(self.matrix, self._rank, seed=self._seed, step=step, device=self._device)

    def u(self, step: int, query: int) -> torch.Tensor:
        """U of one query of one step, (rows, rank)."""
        return draw_u(self.matrix, self._rank, seed=self._seed, step=step, query=query, device=self._device)

    def learn(self, step: int, coefficients: Sequence[float]) -> None:
        """U_acc <- U_acc - sum_q coefficients[q] U(step, q)."""
        for query, coefficient in enumerate(coefficients):
            self.learned.sub_(self.u(step, query), alpha=coefficient)

    def fold_into(self, weight: torch.Tensor) -> None:
        """weight <- weight + U_acc V^T, rounded once to its precision; U_acc starts anew."""
        weight.copy_(weight.float().addmm_(self.learned, self.v.T))
        self.learned.zero_()
