"""What was learned of one matrix since its last fold: U_acc V^T, kept in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample
from engine.directions.low_rank import Directions, KeyedDirections
from engine.models.weights import Matrix


class LowRank:
    """The factors of one matrix; the weight itself lives elsewhere.

    Attributes: directions, where U and V come from; v, (cols, rank), the basis of the interval; learned, U_acc,
    (rows, rank); fold, which has the residual; sample, which knows how much of the update was kept.
    """

    def __init__(self, matrix: Matrix, rank: int, seed: int, device: torch.device, fold: FoldMode) -> None:
        self.matrix = matrix
        self.directions: Directions = KeyedDirections(seed)
        self._rank, self._device = rank, device
        self.v = torch.zeros(matrix.cols, rank, device=device)
        self.learned = torch.zeros(matrix.rows, rank, device=device)
        self.fold = Fold(matrix, fold, seed, device)
        self.sample = Sample(matrix, rank, seed, device)

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`. Fold first."""
        self.v = self.directions.v(self.matrix, self._rank, step, self._device)

    def u(self, step: int, query: int) -> torch.Tensor:
        """U of one query of one step, (rows, rank)."""
        out = torch.empty(self.matrix.rows, self._rank, device=self._device)
        self.directions.u_into(out, self.matrix, step, query)
        return out

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
