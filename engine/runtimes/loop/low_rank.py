"""Low-rank directions in the weights themselves: in place at every step, or kept beside them until a fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.directions.kept import UpdateKept, update_kept
from engine.directions.learned import UPDATE, Learned, update_state
from engine.directions.low_rank import views
from engine.models.facts import weights_in_scope
from engine.runtimes.loop.moves import Setting, finite, read_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LowRankMoves:
    """W moves at once (`engine.runtimes.loop.moves.Moves`): U_acc holds no more than an update on its way."""

    def __init__(self, model: PreTrainedModel, setting: Setting) -> None:
        in_scope = weights_in_scope(model, experts=setting.experts)
        self.matrices = [matrix for matrix, _ in in_scope]
        self.weights = {matrix.name: weight for matrix, weight in in_scope}
        self._setting, self._dtype = setting, model.dtype
        self.learned = Learned(
            self.matrices, setting.space, setting.seed, model.device, setting.fold, setting.drawn, setting.rule,
            ahead=False,
        )  # fmt: skip
        self._moved = False
        self._begin_samples()

    def redraw(self, step: int) -> None:
        # Nothing to fold: every update is in the weights already.
        if self._moved:
            for state in self.learned.states:
                state.sample.compare(state.v, self.weights[state.matrix.name])
        self.learned.redraw(step)

    def move(self, step: int, direction: int, scale: float) -> None:
        self._add(self.learned.draw(step, direction), finite(scale, self._dtype), intended=False)

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        if self._setting.rule.name == "sgd":
            for direction, gradient in enumerate(gradients):
                scale = finite(-(lr * gradient / len(gradients)), self._dtype)
                self._add(self.learned.draw(step, direction), scale, intended=True)
        else:
            self.learned.learn(step, gradients, lr)
            self._add(self.learned.learned, 1.0, intended=True)
            self.learned.folded()
        self._moved = True

    def update_kept(self) -> UpdateKept | None:
        return update_kept(state.sample for state in self.learned.states)

    def start_anew(self, model: PreTrainedModel) -> None:
        for matrix, weight in weights_in_scope(model, experts=self._setting.experts):
            self.weights[matrix.name].copy_(weight)
        self._moved = False
        self.learned.restart()
        self._begin_samples()

    def tensors(self) -> dict[str, torch.Tensor]:
        return {**self.weights, **{f"{UPDATE}{name}": value for name, value in self.learned.update.state().items()}}

    def load(self, file: Any, step: int, began: int) -> None:
        for name, weight in self.weights.items():
            weight.copy_(file.get_tensor(name))
        self._moved = step > 0
        self.learned.restart()
        if step:
            self.learned.resume(began, update_state(file))
        self._begin_samples()

    @contextmanager
    def at_base(self, folder: Path) -> Iterator[None]:
        aside: dict[str, torch.Tensor] = {}
        try:
            aside = read_base(folder, self.matrices, self.weights)
            yield
        finally:
            for name, kept in aside.items():
                self.weights[name].copy_(kept)

    def merge(self, step: int) -> None:
        """Everything is there."""

    def _begin_samples(self) -> None:
        for state in self.learned.states:
            state.sample.restart()
            state.sample.begin(self.weights[state.matrix.name])

    def _add(self, coordinates: torch.Tensor, scale: float, *, intended: bool) -> None:
        """W += scale U V^T, with U by its coordinates, those of all matrices; `intended` if it is to stay."""
        u_of = views(self.learned.lifted(coordinates), self.matrices, "rows")
        for state, u in zip(self.learned.states, u_of, strict=True):
            weight = self.weights[state.matrix.name]
            z = u @ state.v.T
            weight.add_(z.to(weight.dtype), alpha=scale)
            if intended:
                state.sample.learn(u, scale)


class LowRankFolds(LowRankMoves):
    """U_acc is kept beside the weights and folded in when V is redrawn, as the vLLM runtime does it."""

    def redraw(self, step: int) -> None:
        if self.learned.dirty:
            for state in self.learned.states:
                state.fold_into(self.weights[state.matrix.name], step)
            self.learned.folded()
        self.learned.redraw(step)

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self.learned.learn(step, gradients, lr)

    def merge(self, step: int) -> None:
        self.redraw(step)
