"""Replay of recorded trajectories in transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from engine.errors import UserError
from engine.models.facts import read_model
from engine.parity.recording import Trajectory, model_folder
from engine.parity.replay import Trainer, in_place
from engine.parity.weights import check_shapes
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from engine.tasks.objective import Scores


class LoopPlace:
    """The training loop as a place to score (`engine.parity.weights.Place`)."""

    def __init__(self, loop: TrainingLoop) -> None:
        self._loop = loop
        self._parameters = {name: parameter.data for name, parameter in loop.model.named_parameters()}

    def parameter(self, name: str) -> torch.Tensor:
        if name not in self._parameters:
            raise UserError(f"{name}: the model has no such parameter")
        return self._parameters[name].to("cpu", copy=True)

    def set_parameters(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self._parameters[name].copy_(value)

    def score(self, examples: Sequence[Example]) -> Scores:
        return self._loop.score(examples)


def open_training_loop(path: Path, trajectory: Trajectory, device: str) -> Trainer:
    """Raises `UserError` if the model lacks a recorded parameter."""
    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    check_shapes(path, trajectory, facts.path)
    loop = TrainingLoop(facts.path, dtype=trajectory.dtype, device=device, seed=0)
    return in_place(path, trajectory, LoopPlace(loop))
