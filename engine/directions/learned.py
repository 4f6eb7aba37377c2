"""What was learned of all matrices since the last fold: U_acc V^T of each, kept in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample
from engine.directions.low_rank import Directions, Drawn, directions, views
from engine.directions.staging import Staging
from engine.models.weights import Matrix

_AHEAD = 2**28  # bytes of directions that may be drawn ahead of their step


def draws_ahead(size: int, queries: int) -> bool:
    """Whether the directions of a next step, of so many numbers each, are held beside those of this one."""
    return 4 * size * queries <= _AHEAD


class LowRank:
    """One matrix's part; its weight itself lives elsewhere.

    Attributes: v, (cols, rank), the basis of the interval; learned, U_acc, (rows, rank); fold, which has the residual;
    sample, which knows how much of the update was kept.
    """

    def __init__(self, matrix: Matrix, v: torch.Tensor, learned: torch.Tensor, fold: Fold, sample: Sample) -> None:
        self.matrix, self.v, self.learned, self.fold, self.sample = matrix, v, learned, fold, sample

    def begin(self, weight: torch.Tensor) -> None:
        """The weight as it is now is what the update is counted from, unless there is such a one already."""
        if not self.sample.begun:
            with self.fold.at_hand() as residual:
                self.sample.begin(weight, residual)

    def fold_into(self, weight: torch.Tensor, step: int) -> None:
        """weight <- weight + U_acc V^T, in its precision. `step` is the next to be taken."""
        with self.fold.at_hand() as residual:
            self.sample.begin(weight, residual)
            self.fold.add(weight, residual, self.learned, self.v, step)
            self.sample.folded(self.learned, self.v, weight, residual)


class Learned:
    """V and U_acc of all matrices, and the directions of a step, each in one flat tensor: few kernels do a step.

    Attributes: directions, where U and V come from; v, learned, flat, float32; states, each matrix's views of them;
    dirty, whether anything was learned since the last fold.
    """

    def __init__(
        self,
        matrices: Sequence[Matrix],
        rank: int,
        seed: int,
        device: torch.device,
        fold: FoldMode,
        drawn: Drawn,
        queries: int = 1,
    ) -> None:
        """`queries`: how many directions are in use at once."""
        self.directions: Directions = directions(drawn, matrices, rank, seed, device)
        size = rank * sum(matrix.rows for matrix in matrices)
        self.v = torch.zeros(rank * sum(matrix.cols for matrix in matrices), device=device)
        self.learned = torch.zeros(size, device=device)
        self.dirty = False
        # Twice as many as are in use, so that the next step's are drawn while this one's are.
        self._can_draw_ahead = draws_ahead(size, queries)
        self._u = torch.empty(queries * (2 if self._can_draw_ahead else 1), size, device=device)
        self._drawn: list[tuple[int, int] | None] = [None] * len(self._u)  # (step, query) of each
        self._staging = staging = Staging(matrices, device) if fold == "host-residual" else None
        self.states = [
            LowRank(
                m, v, learned, Fold(m, fold, seed, device, drawn, staging), Sample(m, rank, seed, device, len(matrices))
            )
            for m, v, learned in zip(
                matrices, views(self.v, matrices, "cols"), views(self.learned, matrices, "rows"), strict=True
            )
        ]

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`. Fold first."""
        self.directions.v_into(self.v, step)

    def direction(self, step: int, query: int, keep: Sequence[tuple[int, int]] = ()) -> torch.Tensor:
        """All U of one query of one step, flat; drawn unless they still are. Those of `keep` are not overwritten."""
        wanted = (step, query)
        if wanted in self._drawn:
            return self._u[self._drawn.index(wanted)]
        place = next(index for index, held in enumerate(self._drawn) if held not in keep)
        self._drawn[place] = None
        self.directions.u_into(self._u[place], step, query)
        self._drawn[place] = wanted
        return self._u[place]

    def draw_ahead(self, step: int, queries: Sequence[int], in_use: Sequence[tuple[int, int]]) -> None:
        """Draw directions that a later step will ask for, without losing those in use."""
        if self._can_draw_ahead:
            keep = [*in_use, *((step, query) for query in queries)]
            for query in queries:
                self.direction(step, query, keep)

    def learn(self, step: int, coefficients: Sequence[float]) -> None:
        """U_acc <- U_acc - sum_q coefficients[q] U(step, q)."""
        for query, coefficient in enumerate(coefficients):
            if coefficient:
                self.learned.sub_(self.direction(step, query), alpha=coefficient)
                self.dirty = True

    def folded(self) -> None:
        """What was learned is in the weights: U_acc starts anew."""
        self.learned.zero_()
        self.dirty = False

    def settle(self) -> None:
        """Residuals are about to be read, or were written: those in the host's memory are as they are."""
        if self._staging is not None:
            self._staging.settle()

    def restart(self) -> None:
        """The weights, and their residuals if there are any, were loaded: forget what was learned before."""
        self.settle()
        self.folded()
        for state in self.states:
            state.sample.restart()
