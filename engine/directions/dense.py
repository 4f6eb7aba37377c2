"""Dense directions: every entry of a parameter moves along a normal of its own (MeZO, arXiv 2305.17333, Algorithm 1).

z(step, query, name) ~ N(0, I);  W <- W - lr mean_d g_d z_d

They are as large as the weights and are never held: a piece is drawn where it is added, by counter, so that pieces of
any size have the same numbers. What 16 bits cannot hold of a step is kept as a fold of low-rank directions keeps it
(`engine.directions.fold`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch

from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample, UpdateKept, update_kept
from engine.directions.low_rank import Drawn
from engine.directions.philox import Normals
from engine.directions.staging import Staging
from engine.models.weights import Matrix

PIECE = 2**20
"""Numbers that are drawn at a time, about."""


class Dense:
    """The directions of all parameters, and steps along them; the weights themselves live elsewhere.

    Attributes: matrices, in whose order parameters are numbered; folds, which have the residuals.
    """

    def __init__(
        self, matrices: Sequence[Matrix], seed: int, device: torch.device, fold: FoldMode, drawn: Drawn = "philox"
    ) -> None:
        self.matrices = list(matrices)
        self._z = Normals(seed, "z", [(m.name, m.rows * m.cols) for m in matrices], device, in_parts=True)
        self._device = device
        self._staging = Staging(matrices, device) if fold == "host-residual" else None
        self.folds = [Fold(matrix, fold, seed, device, drawn, self._staging) for matrix in matrices]
        self._samples = [Sample(matrix, 1, seed, device, len(matrices)) for matrix in matrices]

    def pieces(self, number: int, step: int, coefficients: Mapping[int, float]) -> Iterator[tuple[slice, torch.Tensor]]:
        """sum_d coefficients[d] z(step, d) of one parameter, as rows and what they are, (rows, cols) and float32.

        What is given is overwritten with the next.
        """
        matrix = self.matrices[number]
        rows, cols = matrix.rows, matrix.cols
        aligned = self._z.at_a_part // math.gcd(self._z.at_a_part, cols)
        height = min(rows, max(1, PIECE // (cols * aligned)) * aligned)
        drawn, total = torch.empty(2, height * cols, device=self._device)
        for first in range(0, rows, height):
            last = min(first + height, rows)
            z, piece = drawn[: (last - first) * cols], total[: (last - first) * cols].zero_()
            for direction, coefficient in coefficients.items():
                self._z.fill_part(z, number, first * cols, step, direction)
                piece.add_(z, alpha=coefficient)
            yield slice(first, last), piece.view(last - first, cols)

    def begin(self, number: int, weight: torch.Tensor) -> None:
        """A parameter, (rows, cols), as it is now is what its update is counted from, unless there is such a one."""
        if not self._samples[number].begun:
            with self.folds[number].at_hand() as residual:
                self._samples[number].begin(weight, residual)

    def learn(self, number: int, weight: torch.Tensor, step: int, gradients: Sequence[float], lr: float) -> None:
        """A parameter, (rows, cols) <- itself - lr mean_d gradients[d] z(step, d), in its precision."""
        coefficients = {d: -(lr * gradient / len(gradients)) for d, gradient in enumerate(gradients) if gradient}
        if not coefficients:
            return
        fold, sample = self.folds[number], self._samples[number]
        chances = fold.chances(step)
        with fold.at_hand() as residual:
            sample.begin(weight, residual)
            for rows, change in self.pieces(number, step, coefficients):
                sample.intend(rows.start * weight.shape[1], change.flatten())
                fold.add_part(weight[rows], None if residual is None else residual[rows], change, chances)

    def move(self, number: int, weight: torch.Tensor, step: int, direction: int, scale: float, *, stays: bool) -> None:
        """A parameter, (rows, cols) <- itself + scale z(step, direction), as its precision adds; `stays`: for good."""
        for rows, z in self.pieces(number, step, {direction: 1.0}):
            weight[rows].add_(z.to(weight.dtype), alpha=scale)
            if stays:
                self._samples[number].intend(rows.start * weight.shape[1], z.flatten() * scale)

    def update_kept(self, weights: Sequence[torch.Tensor]) -> UpdateKept | None:
        """How much of all updates is in the parameters, (rows, cols) each."""
        for sample, fold, weight in zip(self._samples, self.folds, weights, strict=True):
            if sample.begun:
                with fold.at_hand() as residual:
                    sample.measure(weight, residual)
        return update_kept(self._samples)

    def settle(self) -> None:
        """Residuals are about to be read, or were written: those in the host's memory are as they are."""
        if self._staging is not None:
            self._staging.settle()

    def restart(self) -> None:
        """The weights were loaded: what was intended before is forgotten. Residuals stay: they are loaded as well."""
        self.settle()
        for sample in self._samples:
            sample.restart()
