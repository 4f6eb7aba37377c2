"""HiZOO's trainer (Yanjun-Zhao/HiZOO): MeZO with a diagonal estimate of the curvature, H = 1 at first.

    probed along Z / sqrt(H), Z ~ N(0, 1), with L0 scored before
    H' = (1 - s) H + s |L+ + L- - 2 L0| H Z^2 / (2 eps^2)
    W <- W - lr (g Z / sqrt(H') + wd W), H <- H'        then a loss for the log

What is applied has H', what was probed H; everything decays, biases and norms too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.parity.compare import StepTaken
from engine.parity.official.draws import normals, probe_both_sides
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class Hizoo:
    """Takes HiZOO's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights
        self._curvature = {name: torch.ones_like(weight) for name, weight in weights.tensors.items()}

    def take(self, step: RecordedStep) -> StepTaken:
        method, lr = self._trajectory.method, self._trajectory.rate(step)
        base = self._weights.loss(step.examples)
        plus, minus, g = probe_both_sides(self._weights, lambda: self._probed(step.seed), method.eps, step.examples)
        smooth = step.smooth or 0.0
        measured = abs(plus + minus - 2 * base) / (2 * method.eps**2)
        for name, z in normals(self._weights, step.seed):
            weight, curvature = self._weights.tensors[name], self._curvature[name]
            curvature = (1 - smooth) * curvature + smooth * measured * (curvature * z * z)
            self._curvature[name] = curvature
            weight.sub_(lr * (g * z / curvature.sqrt() + method.weight_decay * weight))
        after = self._weights.loss(step.examples)
        losses = {"loss_base": base, "loss_plus": plus, "loss_minus": minus, "loss_after": after}
        return StepTaken(losses, {"projected_grad": g})

    def _probed(self, seed: int | None) -> Iterator[tuple[str, torch.Tensor]]:
        for name, z in normals(self._weights, seed):
            yield name, z / self._curvature[name].sqrt()
