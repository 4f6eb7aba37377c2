"""Take the steps of a recorded trajectory again, on a runtime of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from engine.parity.compare import StepTaken
from engine.parity.official.conmezo import Conmezo
from engine.parity.official.fzoo import Fzoo
from engine.parity.official.hizoo import Hizoo
from engine.parity.official.lozo import Lozo
from engine.parity.official.lozo_m import LozoM
from engine.parity.official.mezo import Mezo
from engine.parity.official.p_rge import PRge
from engine.parity.official.zo_muon import ZoMuon
from engine.parity.recording import Family, RecordedStep, Trajectory
from engine.parity.weights import Place, Weights


class Trainer(Protocol):
    """What takes steps as an official trainer does; its own losses decide where it goes."""

    def take(self, step: RecordedStep) -> StepTaken:
        """Take a step with the recorded seeds, examples and rate; they must be taken in order."""


TRAINERS: dict[Family, Callable[[Trajectory, Weights], Trainer]] = {
    "lozo": Lozo,
    "mezo": Mezo,
    "lozo-m": LozoM,
    "fzoo": Fzoo,
    "zo-muon": ZoMuon,
    "hizoo": Hizoo,
    "p-rge": PRge,
    "conmezo": Conmezo,
}


class Replay:
    """A trajectory on one runtime."""

    def __init__(self, trajectory: Trajectory, trainer: Trainer) -> None:
        self._trajectory, self._trainer = trajectory, trainer

    @torch.inference_mode()
    def take(self, step: int) -> StepTaken:
        """Take one step; they must be taken in order."""
        started = time.perf_counter()
        taken = self._trainer.take(self._trajectory.steps[step])
        return replace(taken, seconds=time.perf_counter() - started)


def in_place(path: Path, trajectory: Trajectory, place: Place) -> Trainer:
    """The trainer of a recording. Raises `UserError` if the model lacks what moved."""
    return TRAINERS[trajectory.method.family](trajectory, Weights(path, trajectory, place))
