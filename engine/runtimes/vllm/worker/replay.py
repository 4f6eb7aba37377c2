"""What a replay of a recorded trajectory does inside vLLM's worker, which opens the recording itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.directions.learned import LowRank
from engine.directions.official import RecordedDraws, decayed
from engine.parity.recording import read_trajectory
from engine.runtimes.vllm.worker.in_place import Parameters
from engine.runtimes.vllm.worker.slots import Slice


class _RecordedLowRank(LowRank):
    """Takes its directions from a recording: query 0 is what is probed, query 1 what the update applies."""

    draws: RecordedDraws

    def redraw(self, step: int) -> None:
        v = self.draws.of(self.matrix.name, step, update=False).v
        assert v is not None
        self.v = v.to(self.v)

    def draw_u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        u = self.draws.of(self.matrix.name, step, update=query == 1).u
        assert u is not None
        out.copy_(u.flatten())


class ReplayWorker:
    """The part of the worker that replays; its state is the other part's."""

    model_runner: Any
    _zo_slices: list[Slice]

    def zo_replay_in_slots(self, trajectory: str) -> None:
        """From now on, the slots' directions are those of the recording."""
        draws = RecordedDraws(read_trajectory(Path(trajectory)))
        for piece in self._zo_slices:
            learned = piece.state.learned
            piece.state = _RecordedLowRank(
                piece.matrix, learned.shape[1], seed=0, device=learned.device, fold="nearest"
            )
            piece.state.learned = learned
            piece.state.draws = draws

    def zo_replay_in_place(self, trajectory: str) -> None:
        """Be ready for `zo_replay_move`."""
        self._zo_draws = RecordedDraws(read_trajectory(Path(trajectory)))
        self._zo_parameters = Parameters(self.model_runner.get_model(), self._zo_slices)

    def zo_replay_move(self, step: int, scale: float) -> None:
        """Every parameter of the recording <- itself + scale times its direction in the perturbations of `step`."""
        for drawn in self._zo_draws.draw(step, update=False):
            self._zo_parameters.add(drawn.name, scale * drawn.direction())

    def zo_replay_update(self, step: int, coefficient: float, decay: float) -> None:
        """Every parameter <- itself - coefficient times its direction in the update of `step` - decay times itself."""
        for drawn in self._zo_draws.draw(step, update=True):
            change = -coefficient * drawn.direction()
            if decay and decayed(drawn.name):
                change -= decay * self._zo_parameters.read(drawn.name)[: len(change)].cpu()
            self._zo_parameters.add(drawn.name, change)
