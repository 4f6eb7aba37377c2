"""P-RGE, MobiZO's trainer (copy jmha02/MobiZO): LoRA-FA, whose A stands still, and N queries of one seed.

    z ~ N(0, 1)^{N x out x r}, for every B in turn: all queries at once
    g_i = (L(B + eps z_i) - L(B - eps z_i)) / (2 eps)        on all of the batch, or on the i-th of N parts
    B <- B - lr mean_i(g_i z_i)

Whether both signs go in one forward pass (`mode` dual) or in two (single) changes no figure. B itself is not moved to
probe: the perturbed factors are made beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.parity.compare import StepTaken
from engine.parity.official.draws import reseeded
from engine.parity.recording import RecordedExample, RecordedStep, Trajectory
from engine.parity.weights import Weights


class PRge:
    """Takes P-RGE's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights = trajectory, weights

    def take(self, step: RecordedStep) -> StepTaken:
        eps, lr = self._trajectory.method.eps, self._trajectory.rate(step)
        queries = len(step.losses_plus or ())
        generator = reseeded(step.seed)
        drawn = {
            name: torch.randn((queries, *shape), generator=generator, dtype=self._weights.dtype)
            for name, shape in self._weights.shapes
        }
        still = {name: factor.clone() for name, factor in self._weights.tensors.items()}
        plus: list[float] = []
        minus: list[float] = []
        for query in range(queries):
            part = self._part(step, query, queries)
            for scale, found in ((eps, plus), (-eps, minus)):
                for name, factor in self._weights.tensors.items():
                    factor.copy_(still[name] + scale * drawn[name][query])
                found.append(self._weights.loss(part))
        gradients = [(a - b) / (2 * eps) for a, b in zip(plus, minus, strict=True)]
        for name, factor in self._weights.tensors.items():
            mean = torch.stack([g * z for g, z in zip(gradients, drawn[name], strict=True)]).mean(0)
            factor.copy_(still[name] - lr * mean)
        return StepTaken({"losses_plus": plus, "losses_minus": minus}, {"projected_grads": gradients})

    def _part(self, step: RecordedStep, query: int, queries: int) -> Sequence[RecordedExample]:
        """The examples that a query scores."""
        if not self._trajectory.method.shards:
            return step.examples
        count = len(step.examples)
        return step.examples[query * count // queries : (query + 1) * count // queries]
