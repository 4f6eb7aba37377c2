"""A transformers model whose weights move as the vLLM runtime moves them: by folds.

Used to rebuild a run's weights without vLLM. It scores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.estimators.probing import Probing
from engine.runtimes.training_loop import TrainingLoop


class FoldingLoop(TrainingLoop):
    """Keeps U_acc beside the weights and folds it in when V is redrawn."""

    def redraw(self, step: int) -> None:
        if self.learned.dirty:
            for state in self.learned.states:
                state.fold_into(self._weights[state.matrix.name], step)
            self.learned.folded()
        self.learned.redraw(step)

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        """Probes in slots leave no trace in the weights."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self.learned.learn(step, gradients, lr)

    def abandon_probe(self) -> bool:
        raise NotImplementedError("a folding loop scores no probes")
