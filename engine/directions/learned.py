"""What was learned of one matrix since its last fold: U_acc V^T, kept in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample
from engine.directions.low_rank import draw_u, draw_u_into, draw_v
from engine.models.weights import Matrix


class LowRank:
    """The factors of one matrix; the weight itself lives elsewhere.

    Attributes: v, (cols, rank), the basis of the interval; learned, U_acc, (rows, rank); fold, which
    has the residual; sample, which knows how much of the update was kept.
    """

    def __init__(self, matrix: Matrix, rank: int, seed: int, device: torch.device, fold: FoldMode) -> None:
        self.matrix = matrix
        self._rank, self._seed, self._device = rank, seed, device
        self.v = torch.zeros(matrix.cols, rank, device=device)
        self.learned = torch.zeros(matrix.rows, rank, device=device)
        self.fold = Fold(matrix, fold, seed, device)
        self.sample = Sample(matrix, rank, seed, device)

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`. Fold first."""
        self.v = draw_v(self.matrix, self._rank, seed=self._seed, step=step, device=self._device)

    def u(self, step: int, query: int) -> torch.Tensor:
        """U of one query of one step, (rows, rank)."""
        return draw_u(self.matrix, self._rank, seed=self._seed, step=step, query=query, device=self._device)

    def draw_u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        """The same, into `out`, contiguous and of as many float32 elements."""
        draw_u_into(out, self.matrix, seed=self._seed, step=step, query=query)

    def learn(self, step: int, coefficients: Sequence[float]) -> None:
        """U_acc <- U_acc - sum_q coefficients[q] U(step, q)."""
        for query, coefficient in enumerate(coefficients):
            self.learned.sub_(self.u(step, query), alpha=coefficient)

    def fold_into(self, weight: torch.Tensor, step: int) -> None:
        """weight <- weight + U_acc V^T, in its precision; U_acc starts anew. `step` is the next to be taken."""
        if not self.learned.any():
            return
        self.sample.begin(weight, self.fold.residual)
        self.sample.learn(self.learned, 1.0)
        self.fold.add(weight, self.learned, self.v, step)
        self.sample.compare(self.v, weight, self.fold.residual)
        self.learned.zero_()

    def restart(self) -> None:
        """The weight, and the residual if there is one, were loaded: forget what was learned before."""
        self.learned.zero_()
        self.sample.restart()
