"""Take the steps of a recorded trajectory again, on a runtime of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.directions.official import RecordedDraws, decayed
from engine.errors import UserError
from engine.models.facts import read_model
from engine.parity.compare import Taken
from engine.parity.recording import RecordedMethod, Trajectory, model_folder, regrouped, scored
from engine.tasks import objective
from engine.tasks.example import Example
from engine.tasks.objective import Scores


class Mover(Protocol):
    """What moves the weights the way a recording says, and scores examples at them."""

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        """Scores at W + eps Z and at W - eps Z."""

    def update(self, step: int, gradient: float) -> None:
        """W <- W - lr gradient Z', with the Z' that the recorded update used."""


class Replay:
    """A trajectory on one runtime; its own losses decide where it goes."""

    def __init__(self, trajectory: Trajectory, mover: Mover) -> None:
        self._trajectory, self._mover = trajectory, mover

    def take(self, step: int) -> Taken:
        """Take one step; they must be taken in order."""
        started = time.perf_counter()
        recorded = self._trajectory.steps[step]
        losses = [
            objective.loss(self._trajectory.objective, *regrouped(recorded, scores))
            for scores in self._mover.probe(step, scored(recorded))
        ]
        gradient = (losses[0] - losses[1]) / (2 * self._trajectory.method.eps)
        self._mover.update(step, gradient)
        return Taken(losses[0], losses[1], gradient, time.perf_counter() - started)


class InPlace:
    """Moves weights in place, as the official trainers do: +eps, -2 eps, +eps, then the update."""

    def __init__(
        self,
        method: RecordedMethod,
        move: Callable[[int, float], None],
        update: Callable[[int, float, float], None],
        score: Callable[[list[Example]], Scores],
    ) -> None:
        self._method, self._move, self._update, self._score = method, move, update, score

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        eps = self._method.eps
        self._move(step, eps)
        plus = self._score(examples)
        self._move(step, -2 * eps)
        minus = self._score(examples)
        self._move(step, eps)
        return plus, minus

    def update(self, step: int, gradient: float) -> None:
        lr = self._method.lr
        self._update(step, lr * gradient, lr * self._method.weight_decay)


def open_training_loop(path: Path, trajectory: Trajectory, device: str) -> Mover:
    """Replay in transformers. Raises `UserError` if the model lacks a recorded parameter."""
    from engine.runtimes.training_loop import TrainingLoop

    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    loop = TrainingLoop(facts.path, dtype=trajectory.dtype, device=device, rank=1, seed=0)
    parameters = {name: parameter.data for name, parameter in loop.model.named_parameters()}
    for name, shape in trajectory.parameters:
        if name not in parameters or list(parameters[name].shape) != shape:
            raise UserError(f"{path}: parameters: {name} of shape {tuple(shape)} is not in {trajectory.model}")
    draws = RecordedDraws(trajectory)

    def move(step: int, scale: float) -> None:
        for drawn in draws.draw(step, update=False):
            parameters[drawn.name].add_(drawn.direction().to(device), alpha=scale)

    def update(step: int, coefficient: float, decay: float) -> None:
        for drawn in draws.draw(step, update=True):
            weight = parameters[drawn.name]
            change = drawn.direction().to(device) * -coefficient
            if decay and decayed(drawn.name):
                change -= decay * weight
            weight.add_(change)

    return InPlace(trajectory.method, move, update, loop.score)
