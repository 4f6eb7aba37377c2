"""An adapter beside the weights, y = W x + (alpha / r) B A x, whose factors move: the weights never do.

The factors are float32 in weights of any precision, as peft has them by default, and are multiplied in that of the
layer's input. They are perturbed in place, there and back, as the official trainers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.directions import adapter
from engine.directions.kept import UpdateKept
from engine.directions.learned import UPDATE, Learned, LowRank, update_state
from engine.errors import UserError
from engine.models.experts import of_expert
from engine.models.facts import weights_in_scope
from engine.runtimes.loop.moves import Setting, finite

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class AdapterMoves:
    """B, or A and B, of every linear layer of the blocks (`engine.runtimes.loop.moves.Moves`)."""

    def __init__(self, model: PreTrainedModel, setting: Setting, *, applied: bool = True) -> None:
        """`applied`: whether the model scores with it before it is merged.

        Raises `UserError` for a mixture whose experts are to do so: they are computed all in one.
        """
        self._model, self._setting = model, setting
        self.matrices = [matrix for matrix, _ in weights_in_scope(model, experts=setting.experts)]
        if applied and any(of_expert(matrix.name) for matrix in self.matrices):
            raise UserError(
                "method.scope: the training loop has no adapters for the experts of a mixture; "
                "use model.runtime = vllm with method.name = mobizo, or low-rank directions, as lozo has"
            )
        self.learned = Learned(
            self.matrices, setting.space, setting.seed, model.device, "nearest", setting.drawn, setting.rule,
            ahead=False,
        )  # fmt: skip
        self._on = True
        self._hooks = [
            model.get_submodule(state.matrix.name.removesuffix(".weight")).register_forward_hook(
                partial(self._adapted, state)
            )
            for state in (self.learned.states if applied else ())
        ]

    def redraw(self, step: int) -> None:
        self.learned.redraw(step)

    def move(self, step: int, direction: int, scale: float) -> None:
        self.learned.learned.add_(self.learned.draw(step, direction), alpha=finite(scale, torch.float32))
        self.learned.changed()

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self.learned.learn(step, gradients, lr)

    def update_kept(self) -> UpdateKept | None:
        return None

    def start_anew(self, model: PreTrainedModel) -> None:
        self.learned.restart()

    def tensors(self) -> dict[str, torch.Tensor]:
        state = {f"{UPDATE}{name}": value for name, value in self.learned.update.state().items()}
        return {**adapter.tensors(self.learned), **state}

    def load(self, file: Any, step: int, began: int) -> None:
        self.learned.restart()
        self.learned.resume(began, update_state(file))
        adapter.load(self.learned, file)

    @contextmanager
    def at_base(self, folder: Path) -> Iterator[None]:
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def merge(self, step: int) -> None:
        """W + (alpha / r) B A in float32, which the whole model then is in: what rounds it comes later."""
        for hook in self._hooks:
            hook.remove()
        self._model.float()
        in_scope = weights_in_scope(self._model, experts=self._setting.experts)
        for (_, weight), state in zip(in_scope, self.learned.states, strict=True):
            weight.addmm_(state.learned, state.v.T)

    def _adapted(self, state: LowRank, module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not self._on:
            return output
        (x,) = inputs
        return output + (x @ state.v.to(x.dtype)) @ state.learned.to(x.dtype).T
