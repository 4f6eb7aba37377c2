"""Dense directions in the weights themselves, as MeZO's trainer moves them; and as the vLLM runtime does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.directions.dense import Dense
from engine.directions.kept import UpdateKept
from engine.models.facts import weights_beside, weights_in_scope
from engine.runtimes.loop.moves import Setting, finite, read_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class DenseMoves:
    """W moves in its own precision (`engine.runtimes.loop.moves.Moves`): in 16 bits there and back is not where it was,
    and small updates are lost.
    """

    def __init__(self, model: PreTrainedModel, setting: Setting) -> None:
        self._setting, self._dtype = setting, model.dtype
        moving = self._moving(model)
        self.matrices = [matrix for matrix, _ in moving]
        self._weights = [weight for _, weight in moving]
        self.dense = Dense(self.matrices, setting.seed, model.device, setting.fold, setting.drawn)
        self._begin()

    def redraw(self, step: int) -> None:
        """There is no basis."""

    def move(self, step: int, direction: int, scale: float) -> None:
        for number, weight in enumerate(self._weights):
            self.dense.move(number, weight, step, direction, finite(scale, self._dtype), stays=False)

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        for direction, gradient in enumerate(gradients):
            scale = finite(-(lr * gradient / len(gradients)), self._dtype)
            for number, weight in enumerate(self._weights):
                self.dense.move(number, weight, step, direction, scale, stays=True)

    def update_kept(self) -> UpdateKept | None:
        return self.dense.update_kept(self._weights)

    def start_anew(self, model: PreTrainedModel) -> None:
        for weight, (_, base) in zip(self._weights, self._moving(model), strict=True):
            weight.copy_(base)
        self._begin()

    def tensors(self) -> dict[str, torch.Tensor]:
        return {
            matrix.name: weight.view(matrix.whole) if matrix.whole else weight
            for matrix, weight in zip(self.matrices, self._weights, strict=True)
        }

    def load(self, file: Any, step: int, began: int) -> None:
        for matrix, weight in zip(self.matrices, self._weights, strict=True):
            weight.copy_(file.get_tensor(matrix.name).view(weight.shape))
        self._begin()

    @contextmanager
    def at_base(self, folder: Path) -> Iterator[None]:
        weights = {matrix.name: weight for matrix, weight in zip(self.matrices, self._weights, strict=True)}
        aside: dict[str, torch.Tensor] = {}
        try:
            aside = read_base(folder, self.matrices, weights)
            yield
        finally:
            for name, kept in aside.items():
                weights[name].copy_(kept)

    def merge(self, step: int) -> None:
        """Everything is there."""

    def _moving(self, model: PreTrainedModel) -> list[tuple[Any, torch.Tensor]]:
        found = weights_in_scope(model, experts=self._setting.experts)
        if self._setting.scope == "all":
            found += weights_beside(model, [matrix for matrix, _ in found])
        return found

    def _begin(self) -> None:
        self.dense.restart()
        for number, weight in enumerate(self._weights):
            self.dense.begin(number, weight)


class DenseSteps(DenseMoves):
    """What 16 bits cannot hold of a step is kept beside the weights, as the vLLM runtime does it."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        for number, weight in enumerate(self._weights):
            self.dense.learn(number, weight, step, gradients, lr)
