"""LoZO's trainer (optsuite/LOZO, large_models): U V^T for a matrix, dense for the rest, see `directions/official.py`.

W <- W - lr (g Z' + wd W)        Z': with a U drawn without V first, not the probed one where an interval begins
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.directions.official import APPLIED, PROBED, OfficialDraws, OfficialRun
from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.draws import decays, probe_both_sides
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class Lozo:
    """Takes LoZO's steps, in place."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights
        self._draws = OfficialDraws(official_run(trajectory))

    def take(self, step: RecordedStep) -> StepTaken:
        method, lr = self._trajectory.method, self._trajectory.rate(step)
        plus, minus, g = probe_both_sides(
            self._weights, lambda: probed(self._draws, step.step), method.eps, step.examples
        )
        for name, drawn in self._draws.draw(step.step, APPLIED):
            weight = self._weights.tensors[name]
            decay = method.weight_decay if decays(name) else 0.0
            weight.sub_(lr * (g * drawn.direction() + decay * weight))
        return two_sided(plus, minus, g)


def probed(draws: OfficialDraws, step: int) -> Iterator[tuple[str, torch.Tensor]]:
    """The directions of a step's probes."""
    for name, drawn in draws.draw(step, PROBED):
        yield name, drawn.direction()


def official_run(trajectory: Trajectory) -> OfficialRun:
    """What a recording of LoZO, or LoZO-M, says of its directions."""
    method = trajectory.method
    assert method.rank and method.interval
    return OfficialRun(
        seeds=[step.seed or 0 for step in trajectory.steps],
        parameters=[(name, list(shape)) for name, shape in trajectory.parameters],
        dtype=trajectory.dtype,
        rank=method.rank,
        interval=method.interval,
    )
