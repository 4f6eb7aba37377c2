"""A transformers model that moves as the vLLM runtime moves it: probes leave no trace, updates are kept whole.

Used to rebuild a run's weights without vLLM. It scores nothing.
"""

from __future__ import annotations

from engine.estimators.probing import Probing
from engine.runtimes.loop.adapter import AdapterMoves
from engine.runtimes.loop.dense import DenseSteps
from engine.runtimes.loop.low_rank import LowRankFolds
from engine.runtimes.loop.moves import Moves, Setting
from engine.runtimes.training_loop import TrainingLoop


class FoldingLoop(TrainingLoop):
    """Keeps U_acc beside the weights and folds it in when V is redrawn, or what a dense step has too much for them."""

    def _open_moves(self, setting: Setting) -> Moves:
        if setting.space.coordinates == "dense":
            return DenseSteps(self._model, setting)
        if not setting.space.moves_weights:
            return AdapterMoves(self._model, setting, applied=False)
        return LowRankFolds(self._model, setting)

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        """Probes leave no trace in the weights."""

    def abandon_probe(self) -> bool:
        raise NotImplementedError("a folding loop scores no probes")
