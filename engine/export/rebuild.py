"""A run's weights on the CPU, from the base model and the journal, the way the run's own runtime moved them.

`vllm` folds what an interval learned, `training-loop` moves the weights at every step. On the way what was learned can
be taken down term by term (`engine.export.terms`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.directions.low_rank import drawn_by, views
from engine.directions.space import space_of
from engine.estimators.probing import Probing
from engine.export.progress import Progress
from engine.export.terms import Terms
from engine.export.which import Chosen
from engine.optimizer import Optimizer
from engine.preflight.folds import fold_of, folds_for
from engine.runtimes.loop.adapter import AdapterMoves
from engine.runtimes.loop.dense import DenseSteps
from engine.runtimes.loop.low_rank import LowRankFolds, LowRankMoves
from engine.runtimes.loop.moves import Moves, Setting
from engine.runtimes.training_loop import TrainingLoop
from engine.updates.base import rule_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FoldingLoop(TrainingLoop):
    """Keeps U_acc beside the weights and folds it in when V is redrawn, or what a dense step has too much for them.

    So it moves as the vLLM runtime does: probes leave no trace, updates are kept whole. It scores nothing on the way.
    """

    def __init__(self, path: str, *, terms: Terms | None = None, **setting: Any) -> None:
        """`terms`: where each fold is taken down."""
        self._terms = terms
        super().__init__(path, **setting)

    def _open_moves(self, setting: Setting) -> Moves:
        if setting.space.coordinates == "dense":
            return DenseSteps(self._model, setting)
        if not setting.space.moves_weights:
            return AdapterMoves(self._model, setting, applied=False)
        if self._terms is not None:
            return _FoldsTakenDown(self._model, setting, self._terms)
        return LowRankFolds(self._model, setting)

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        """Probes leave no trace in the weights."""

    def abandon_probe(self) -> bool:
        raise NotImplementedError("a folding loop scores no probes")


class InPlaceLoop(TrainingLoop):
    """The conventional loop, of which the updates of each interval are taken down as well, before they are rounded."""

    def __init__(self, path: str, *, terms: Terms, **setting: Any) -> None:
        self._terms = terms
        super().__init__(path, **setting)

    def _open_moves(self, setting: Setting) -> Moves:
        return _MovesTakenDown(self._model, setting, self._terms)


class _FoldsTakenDown(LowRankFolds):
    def __init__(self, model: PreTrainedModel, setting: Setting, terms: Terms) -> None:
        super().__init__(model, setting)
        self._terms = terms

    def redraw(self, step: int) -> None:
        if self.learned.dirty:
            self._terms.take(self.learned.states, [state.u for state in self.learned.states])
        super().redraw(step)


class _MovesTakenDown(LowRankMoves):
    def __init__(self, model: PreTrainedModel, setting: Setting, terms: Terms) -> None:
        super().__init__(model, setting)
        self._terms = terms
        self._sum: torch.Tensor | None = None  # of the interval, all U_acc, flat; none as long as nothing moved

    def redraw(self, step: int) -> None:
        self._take_down()
        super().redraw(step)

    def merge(self, step: int) -> None:
        self._take_down()

    def _add(self, coordinates: torch.Tensor, scale: float, *, intended: bool) -> None:
        super()._add(coordinates, scale, intended=intended)
        if intended:
            u = self.learned.lifted(coordinates)
            self._sum = u * scale if self._sum is None else self._sum.add_(u, alpha=scale)

    def _take_down(self) -> None:
        if self._sum is not None:
            self._terms.take(self.learned.states, views(self._sum, self.matrices, "rows"))
            self._sum = None


def base_loop(chosen: Chosen, path: str, terms: Terms | None = None) -> TrainingLoop:
    """The base model, in `path`, ready for the steps of a run; `terms`, for one whose directions are low-rank."""
    wanted, info = chosen.wanted, chosen.run.info.read()
    common: dict[str, Any] = {
        "dtype": info.dtype,
        "device": "cpu",
        "space": space_of(wanted.method),
        "rule": rule_of(wanted.method),
        "seed": wanted.run.seed,
        "drawn": drawn_by(chosen.steps[0]),
        "experts": info.experts,
        "scope": wanted.method.scope,
        "trust_remote_code": wanted.model.trust_remote_code,
    }
    # The runtime that took the steps decides how low-precision weights were rounded.
    if info.runtime == "vllm":
        began = fold_of(info, wanted.model.fold)
        folds = folds_for(
            wanted.model.fold, began, dtype=info.dtype, device="cpu", runtime=info.runtime, scope=wanted.method.scope
        )
        return FoldingLoop(path, fold=folds.modes[0], terms=terms, **common)
    return TrainingLoop(path, **common) if terms is None else InPlaceLoop(path, terms=terms, **common)


def take_steps(loop: TrainingLoop, chosen: Chosen) -> None:
    """Take the steps that lead to the chosen state again."""
    wanted = chosen.wanted
    method = Optimizer(wanted.method, wanted.run.steps, "classification", wanted.run.seed)
    led = chosen.led_here
    progress = Progress("rebuilding: step", len(led))
    for count, taken in enumerate(led, 1):
        method.replay(loop, taken)
        progress.at(count)
