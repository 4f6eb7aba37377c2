"""Dense directions inside vLLM's worker: the weights themselves are moved, a sign at a time.

What a run has are values that are kept beside the weights that vLLM applies. A sign is written into those from the kept
ones, so that nothing is ever taken back and nothing drifts, in any precision; a step is taken on the kept ones. Where a
CPU packs a weight, the plain one that it was packed from is the kept one, and every change is packed again: slow, and
right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.directions.dense import Dense
from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept
from engine.directions.low_rank import Drawn
from engine.errors import UserError
from engine.models.streamed import Entry
from engine.models.weights import BaseWeights, Matrix
from engine.runtimes.vllm.support import REMEDY, CannotAdapt
from engine.runtimes.vllm.worker.factors import Factors, Slice
from engine.runtimes.vllm.worker.in_place import Parameters, Place
from engine.runtimes.vllm.worker.slots import Sign


class DenseWeights:
    """Every parameter that moves.

    Attributes: slices, of_layer, rank, as `Slots` has them for layers in a pass: these add nothing to any.
    """

    def __init__(
        self,
        model: Any,
        slices: list[Slice],
        matrices: Sequence[Matrix],
        *,
        seed: int,
        device: torch.device,
        fold: FoldMode,
        drawn: Drawn,
    ) -> None:
        """Raises `CannotAdapt` if vLLM's model lacks one of `matrices`."""
        self.slices, self.rank = slices, 1
        self.of_layer: dict[int, Factors] = {}
        self._dense = Dense(matrices, seed, device, fold, drawn)
        parameters = Parameters(model, slices)
        self._held: dict[Place, torch.Tensor] = {}  # what is kept, whole
        self._within: dict[Place, list[tuple[int, slice]]] = {}  # the numbers of the parameters there, and their rows
        self._kept: list[torch.Tensor] = []  # (rows, cols) of every parameter, views of what is kept
        for number, matrix in enumerate(matrices):
            try:
                place, rows = parameters.find(matrix.name)
            except UserError as error:
                raise CannotAdapt(f"model.path: {error}{REMEDY}") from None
            if place not in self._held:
                values = place.values()
                self._held[place] = values.clone() if place.is_live else values
            part = self._held[place][rows][: matrix.shape[0]]
            if tuple(part.shape) != matrix.shape:
                shape = tuple(part.shape)
                raise CannotAdapt(f"model.path: vLLM has {matrix.name} as {shape}, not {matrix.shape}{REMEDY}")
            first = rows.start or 0
            self._within.setdefault(place, []).append((number, slice(first, first + len(part))))
            self._kept.append(matrix.of(part))
        self._moved = False  # whether vLLM applies other values than those that are kept

    def redraw(self, step: int) -> None:
        """There is no basis."""

    def perturb(self, step: int, signs: Sequence[Sign], shards: int) -> None:
        """Write the one sign: the weights + eps z, rounded to their precision once."""
        (sign,) = signs
        if sign.query < 0:
            self.settle()
            return
        self._moved = True
        for place, held in self._held.items():
            there = place.values() if place.is_live else held.clone()
            for number, rows in self._within[place]:
                matrix, kept = self._dense.matrices[number], self._kept[number]
                live = matrix.of(there[rows])
                for some, z in self._dense.pieces(number, step, {sign.query: sign.eps}):
                    live[some] = z.add_(kept[some])
            place.apply(there)

    def settle(self) -> None:
        """The weights as they are."""
        if self._moved:
            for place, held in self._held.items():
                place.apply(held)
            self._moved = False

    def rest(self) -> None:
        """The same: nothing is kept beside them."""
        self.settle()

    def draw_ahead(self, step: int, directions: Sequence[int]) -> None:
        """Nothing is held."""

    def learn(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """Move the weights by plain descent."""
        for place, held in self._held.items():
            for number, _ in self._within[place]:
                self._dense.learn(number, self._kept[number], step, gradients, lr)
            place.apply(held)
        self._moved = False

    def update_kept(self) -> UpdateKept | None:
        """Of all steps since the start, or since a checkpoint."""
        return self._dense.update_kept(self._kept)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds: every parameter, and its residual."""
        self._dense.settle()
        found = {}
        for matrix, kept, fold in zip(self._dense.matrices, self._kept, self._dense.folds, strict=True):
            found[matrix.name] = kept.view(matrix.shape)
            if fold.residual is not None:
                found[f"{matrix.name}.residual"] = fold.residual
        return found

    def load(self, file: Any) -> None:
        """Set all of them from an open checkpoint."""
        self._dense.settle()
        for matrix, kept, fold in zip(self._dense.matrices, self._kept, self._dense.folds, strict=True):
            kept.copy_(matrix.of(file.get_tensor(matrix.name)))
            if fold.residual is not None:
                fold.residual.copy_(file.get_tensor(f"{matrix.name}.residual"))
        self._dense.restart()
        self._moved = True
        self.settle()

    def show_base(self, folder: str) -> None:
        """Let vLLM apply what the model's files hold; `settle` takes it back.

        Raises `UserError`, before anything is moved, where those cannot be read.
        """
        matrices = self._dense.matrices
        base = BaseWeights(Path(folder), matrices)
        self._moved = True
        for place, held in self._held.items():
            there = place.values() if place.is_live else held.clone()
            for number, rows in self._within[place]:
                matrices[number].of(there[rows]).copy_(base.read(matrices[number].name))
            place.apply(there)


def entries(tensors: Mapping[str, torch.Tensor]) -> dict[str, Entry]:
    """What a checkpoint announces of these."""
    return {name: Entry(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
