"""A transformers model whose weights move as the vLLM runtime moves them: by folds.

Used to rebuild a run's weights without vLLM. It scores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept, update_kept
from engine.directions.learned import Learned
from engine.directions.low_rank import Drawn
from engine.runtimes.training_loop import TrainingLoop


class FoldingLoop(TrainingLoop):
    """Keeps U_acc beside the weights and folds it in when V is redrawn.

    Attributes: learned, what it keeps of all matrices.
    """

    def __init__(
        self, path: str, *, rank: int, seed: int, fold: FoldMode, drawn: Drawn = "philox", **others: Any
    ) -> None:
        super().__init__(path, rank=rank, seed=seed, drawn=drawn, **others)
        self.learned = Learned(self.matrices(), rank, seed, self.model.device, fold, drawn)

    def redraw(self, step: int) -> None:
        if self.learned.dirty:
            for state in self.learned.states:
                state.fold_into(self._weights[state.matrix.name], step)
            self.learned.folded()
        self.learned.redraw(step)

    def replay_probe(self, step: int, query: int, eps: float) -> None:
        """Probes in slots leave no trace in the weights."""

    def update(self, step: int, coefficients: Sequence[float]) -> None:
        self.learned.learn(step, coefficients)

    def abandon_probe(self) -> bool:
        raise NotImplementedError("a folding loop scores no probes")

    def update_kept(self) -> UpdateKept | None:
        return update_kept(state.sample for state in self.learned.states)
