"""MeZO's trainer (princeton-nlp/MeZO, large_models), of weights or of LoRA factors.

    Z ~ N(0, 1), in every parameter's shape
    W <- W - lr (g Z + wd W)

Factors A and B move at once: the weight that they stand for moves by (B + e Zb)(A + e Za), not linear in e.
"""

from __future__ import annotations

from functools import partial

from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.draws import decays, normals, probe_both_sides
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class Mezo:
    """Takes MeZO's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights

    def take(self, step: RecordedStep) -> StepTaken:
        method, lr = self._trajectory.method, self._trajectory.rate(step)
        z = partial(normals, self._weights, step.seed)
        plus, minus, g = probe_both_sides(self._weights, z, method.eps, step.examples)
        for name, direction in z():
            weight = self._weights.tensors[name]
            decay = method.weight_decay if decays(name) else 0.0
            weight.sub_(lr * (g * direction + decay * weight))
        return two_sided(plus, minus, g)
