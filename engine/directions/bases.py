"""The bases that coordinates stand on, and how a state crosses from the old ones to the new."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.directions.low_rank import views
from engine.directions.orthonormal import orthonormalise
from engine.directions.philox import Normals
from engine.directions.space import Space
from engine.models.weights import Matrix


class LeftBases:
    """P of every matrix, (rows, rank), orthonormal: a core S stands for the direction P S V^T.

    Attributes: flat, all of them; of_matrix, each matrix's.
    """

    def __init__(self, matrices: Sequence[Matrix], space: Space, seed: int, device: torch.device) -> None:
        self._normals = Normals(seed, "p", [(m.name, m.rows * space.rank) for m in matrices], device)
        self.flat = torch.zeros(space.rank * sum(matrix.rows for matrix in matrices), device=device)
        self.of_matrix = views(self.flat, matrices, "rows")

    def draw(self, step: int) -> None:
        """Those of the interval that begins at `step`."""
        self._normals.fill(self.flat, step)
        orthonormalise(self.of_matrix)


class Crossing:
    """From the bases as they are when this is made to those that are there when it is called.

    A state of coordinates over V is brought over by N <- N (V_old^T V_new) / |v|^2, with the length |v| that columns of
    V have: sqrt(cols) times the scale, or the scale of what is orthonormal (LoZO-M, arXiv 2410.07698). A core's left
    side is brought over likewise.
    """

    def __init__(
        self, space: Space, shapes: Sequence[tuple[int, int]], v: list[torch.Tensor], left: LeftBases | None
    ) -> None:
        """`shapes`: of the coordinates of every matrix."""
        self._space, self._shapes, self._new = space, shapes, v
        self._old = [part.clone() for part in v]
        self._left, self._old_left = left, [part.clone() for part in left.of_matrix] if left else []

    def __call__(self, state: torch.Tensor) -> None:
        """Bring a flat state of all matrices over, in place."""
        parts = state.split([rows * rank for rows, rank in self._shapes])
        for index, (part, shape) in enumerate(zip(parts, self._shapes, strict=True)):
            old, new = self._old[index], self._new[index]
            squared = self._space.scale**2 * (1 if self._space.basis == "orthonormal" else len(old))
            moved = part.view(shape) @ ((old.T @ new) / squared)
            if self._left is not None:
                moved = self._left.of_matrix[index].T @ self._old_left[index] @ moved
            part.copy_(moved.flatten())
