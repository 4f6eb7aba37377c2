"""LoZO-M's trainer (optsuite/LOZO, medium_models, `lozo_optimizer` sgdm): momentum in the low-rank factor.

Probes as LoZO. The update draws U without V first; with it, for a matrix in step k of intervals of nu:

    k % nu == 0:  M <- beta M V_old^T V / cols + (1 - beta) g U, or g U while there is no V_old
    else:         M <- beta M + (1 - beta) g U;  where k % nu == nu - 1, then V_old <- V
    W <- W - lr (M V^T + wd W)

and for the rest M <- g Z in step 0, beta M + (1 - beta) g Z from then on, W <- W - lr (M + wd W). So the momentum keeps
the direction that was not probed, and nu = 1, which never has a V_old, has no momentum.
"""

from __future__ import annotations

import torch

from engine.directions.official import APPLIED, OfficialDraws
from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.draws import decays, probe_both_sides
from engine.parity.official.lozo import official_run, probed
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights


class LozoM:
    """Takes LoZO-M's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights
        self._draws = OfficialDraws(official_run(trajectory))
        self._momentum: dict[str, torch.Tensor] = {}  # M: (rows, rank), or a vector's own shape
        self._v_old: dict[str, torch.Tensor] = {}  # (cols, rank)

    def take(self, step: RecordedStep) -> StepTaken:
        method, lr = self._trajectory.method, self._trajectory.rate(step)
        plus, minus, g = probe_both_sides(
            self._weights, lambda: probed(self._draws, step.step), method.eps, step.examples
        )
        for name, drawn in self._draws.draw(step.step, APPLIED):
            if drawn.dense is not None:
                change = self._of_vector(step.step, name, g * drawn.dense)
            else:
                assert drawn.u is not None and drawn.v is not None
                change = self._of_matrix(step.step, name, g * drawn.u, drawn.v) @ drawn.v.T
            weight = self._weights.tensors[name]
            decay = method.weight_decay if decays(name) else 0.0
            weight.sub_(lr * (change + decay * weight))
        return two_sided(plus, minus, g)

    def _of_vector(self, step: int, name: str, fresh: torch.Tensor) -> torch.Tensor:
        beta = self._trajectory.method.beta or 0.0
        if step > 0:
            fresh = beta * self._momentum[name] + (1 - beta) * fresh
        self._momentum[name] = fresh
        return fresh

    def _of_matrix(self, step: int, name: str, fresh: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """M after this step, (rows, rank)."""
        interval, beta = self._trajectory.method.interval, self._trajectory.method.beta or 0.0
        assert interval
        if step % interval:
            fresh = beta * self._momentum[name] + (1 - beta) * fresh
            if step % interval == interval - 1:
                self._v_old[name] = v
        elif (v_old := self._v_old.get(name)) is not None:
            kept = (self._momentum[name] @ v_old.T) @ v / len(v)  # dense in between, as there
            fresh = beta * kept + (1 - beta) * fresh
        self._momentum[name] = fresh
        return fresh
