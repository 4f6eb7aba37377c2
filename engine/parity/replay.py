"""Take the steps of a recorded trajectory again, on a runtime of ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.directions.official import APPLIED, PROBED, OfficialDraws, OfficialRun
from engine.directions.space import Space
from engine.errors import UserError
from engine.models.facts import read_model
from engine.parity.compare import StepTaken
from engine.parity.recording import RecordedMethod, Trajectory, model_folder, regrouped, scored
from engine.tasks import objective
from engine.tasks.example import Example
from engine.tasks.objective import Scores

if TYPE_CHECKING:
    from engine.runtimes.training_loop import TrainingLoop


class Mover(Protocol):
    """What moves the weights the way a recording says, and scores examples at them."""

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        """Scores at W + eps Z and at W - eps Z."""

    def update(self, step: int, gradient: float) -> None:
        """W <- W - lr gradient Z', with the Z' that the recorded update used."""


class Movable(Protocol):
    """Weights that can be moved in place."""

    def move(self, step: int, query: int, scale: float, decay: float = 0.0) -> None:
        """W <- W + scale Z(step, query) - decay W."""

    def score(self, examples: Sequence[Example]) -> Scores:
        """Score `examples` at the weights as they are."""


class Replay:
    """A trajectory on one runtime; its own losses decide where it goes."""

    def __init__(self, trajectory: Trajectory, mover: Mover) -> None:
        self._trajectory, self._mover = trajectory, mover

    def take(self, step: int) -> StepTaken:
        """Take one step; they must be taken in order."""
        started = time.perf_counter()
        recorded = self._trajectory.steps[step]
        losses = [
            objective.loss(self._trajectory.objective, *regrouped(recorded, scores))
            for scores in self._mover.probe(step, scored(recorded))
        ]
        gradient = (losses[0] - losses[1]) / (2 * self._trajectory.method.eps)
        self._mover.update(step, gradient)
        return StepTaken(losses[0], losses[1], gradient, time.perf_counter() - started)


class InPlace:
    """Moves weights in place, as the official trainers do: +eps, -2 eps, +eps, then the update."""

    def __init__(self, method: RecordedMethod, weights: Movable) -> None:
        self._method, self._weights = method, weights

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        eps = self._method.eps
        self._weights.move(step, PROBED, eps)
        plus = self._weights.score(examples)
        self._weights.move(step, PROBED, -2 * eps)
        minus = self._weights.score(examples)
        self._weights.move(step, PROBED, eps)
        return plus, minus

    def update(self, step: int, gradient: float) -> None:
        lr = self._method.lr
        self._weights.move(step, APPLIED, -lr * gradient, lr * self._method.weight_decay)


class _LoopWeights:
    """The training loop's weights, moved as they were in a recording."""

    def __init__(self, loop: TrainingLoop, draws: OfficialDraws) -> None:
        self._draws = draws
        self._parameters = {name: parameter.data for name, parameter in loop.model.named_parameters()}
        self.score = loop.score

    def move(self, step: int, query: int, scale: float, decay: float = 0.0) -> None:
        for name, change in self._draws.changes(step, query, scale, decay, self._parameters.__getitem__):
            weight = self._parameters[name]
            weight.add_(change.to(weight.device))


def official_run(trajectory: Trajectory) -> OfficialRun:
    """What a recording says of its directions."""
    method, low_rank = trajectory.method, trajectory.method.family == "lozo"
    return OfficialRun(
        seeds=[step.seed for step in trajectory.steps],
        parameters=trajectory.parameters,
        dtype=trajectory.dtype,
        rank=method.rank if low_rank else None,
        interval=method.interval if low_rank else None,
    )


def open_training_loop(path: Path, trajectory: Trajectory, device: str) -> Mover:
    """Replay in transformers. Raises `UserError` if the model lacks a recorded parameter."""
    from engine.runtimes.training_loop import TrainingLoop

    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    loop = TrainingLoop(facts.path, dtype=trajectory.dtype, device=device, seed=0, space=Space(rank=1))
    parameters = dict(loop.model.named_parameters())
    for name, shape in trajectory.parameters:
        if name not in parameters or list(parameters[name].shape) != shape:
            raise UserError(f"{path}: parameters: {name} of shape {tuple(shape)} is not in {trajectory.model}")
    return InPlace(trajectory.method, _LoopWeights(loop, OfficialDraws(official_run(trajectory))))
