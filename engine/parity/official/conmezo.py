"""ConMeZO's trainer (LejsDeen/ConMeZO, opt): MeZO within a cone around a momentum m; d elements in all.

    step 0:  m ~ N(0, 1) of `first_seed`, n = sqrt(d)
    else, with the step's beta, and g and z of the step before:
             A = beta n / sqrt(d) + (1 - beta) g cos(theta), B = (1 - beta) g sin(theta)
             m <- beta m + (1 - beta) g z, n <- sqrt(d (A^2 + B^2))
    z = cos(theta) sqrt(d) / n m + sin(theta) u, u ~ N(0, 1);  W <- W - lr g z

n is what the norm of m is expected to be, never measured: what is off in it stays. No decay, no schedule; beta is
hard-coded there, and recorded with each step.
"""

from __future__ import annotations

import math

import torch

from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.draws import normals, probe_both_sides
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class Conmezo:
    """Takes ConMeZO's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights
        theta = trajectory.method.theta or 0.0
        self._cos, self._sin = math.cos(theta), math.sin(theta)
        self._root = math.sqrt(sum(weight.numel() for weight in weights.tensors.values()))  # of d
        self._momentum = dict(normals(weights, trajectory.method.first_seed))
        self._norm = self._root
        self._direction: dict[str, torch.Tensor] = {}  # z of the step before, as is the next
        self._gradient = 0.0

    def take(self, step: RecordedStep) -> StepTaken:
        if step.step > 0:
            self._remember(step.beta or 0.0)
        along = self._cos * self._root / self._norm
        self._direction = {
            name: along * self._momentum[name] + self._sin * u for name, u in normals(self._weights, step.seed)
        }
        plus, minus, g = probe_both_sides(
            self._weights, self._direction.items, self._trajectory.method.eps, step.examples
        )
        self._weights.move(self._direction.items(), -self._trajectory.rate(step) * g)
        self._gradient = g
        return two_sided(plus, minus, g)

    def _remember(self, beta: float) -> None:
        """Bring the momentum up to date with the step before."""
        fresh = (1 - beta) * self._gradient
        for name, z in self._direction.items():
            self._momentum[name].mul_(beta).add_(fresh * z)
        along = beta * self._norm / self._root + fresh * self._cos
        self._norm = self._root * math.hypot(along, fresh * self._sin)
