"""FZOO's trainer (DKmiyan/FZOO): signs, probed on one side, and a step divided by the losses' spread.

    u_i in {-1, 1}, in every parameter's shape, of query i's own seed
    c_i = (L(W + eps u_i) - L0) / (N std(L_1 .. L_N))        std over N, L0 not in it; L0 is scored after the queries
    W <- W - lr c_i u_i, query after query

No eps in the step, no decay, no schedule; where all losses are the same, 0 / 0, and no weight survives it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.parity.compare import StepTaken
from engine.parity.official.draws import reseeded
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class Fzoo:
    """Takes FZOO's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights

    def take(self, step: RecordedStep) -> StepTaken:
        eps, lr = self._trajectory.method.eps, self._trajectory.rate(step)
        losses = []
        for seed in step.seeds or ():
            self._weights.move(self._signs(seed), eps)
            losses.append(self._weights.loss(step.examples))
            self._weights.move(self._signs(seed), -eps)
        base = self._weights.loss(step.examples)
        coefficients = weighted(losses, base)
        for seed, coefficient in zip(step.seeds or (), coefficients, strict=True):
            self._weights.move(self._signs(seed), -lr * coefficient)
        return StepTaken({"loss_base": base, "losses": losses}, {"coefficients": coefficients})

    def _signs(self, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
        generator = reseeded(seed)
        for name, shape in self._weights.shapes:
            yield name, torch.randint(0, 2, shape, generator=generator, dtype=self._weights.dtype) * 2 - 1


def weighted(losses: list[float], base: float) -> list[float]:
    """What the update multiplies, in float32."""
    of_queries = torch.tensor(losses, dtype=torch.float32)
    spread = of_queries.std(correction=0)
    return ((of_queries - base) / (len(losses) * spread)).tolist()
