"""The numerical noise of a batch's loss: what |L+ - L-| must exceed to say anything about the weights.

Measured by scoring one batch at one state again and again: as it is, in other orders, and cut into parts,
which changes the shapes of the products and with them the order of their sums. In exact arithmetic all
results are the same. Rounding that they all share does not show in that, so the noise is never taken to be
less than what the numbers can resolve at all (`Noise.resolution`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from engine.estimators.probing import Sides
from engine.models.facts import dtype_of
from engine.runtimes.base import Runtime
from engine.tasks import objective
from engine.tasks.example import Example

_ORDERS = 3  # besides the batch's own, which is scored twice
_PARTS = (4, 16)  # that a batch is cut into, as far as it goes


@dataclass(frozen=True)
class Noise:
    """Of the difference between the two losses of a step, in nats.

    measured: the largest difference between two scorings of the same batch at the same state.
    resolution: u |L| / sqrt(B), the rounding (u, the unit roundoff of the dtype) of one loss per example,
    averaged over a batch of B; an order of magnitude.
    queries: of a step, over which the difference is averaged; sides: with one, L(W) is the same for all, and does not
    average out.
    """

    measured: float
    resolution: float
    queries: int
    sides: Sides = "two"

    @property
    def nats(self) -> float:
        """The noise floor of |L+ - L-|; its square, with s^2 of every loss, is 2 s^2 / q, or s^2 (1 + 1 / q)."""
        share = 1 / self.queries if self.sides == "two" else (1 + 1 / self.queries) / 2
        return max(self.measured, self.resolution) * math.sqrt(share)


def measure_noise(
    runtime: Runtime,
    task_objective: objective.Objective,
    examples: Sequence[Example],
    *,
    dtype: str,
    queries: int,
    sides: Sides = "two",
) -> Noise | None:
    """Score a batch seven times at the weights as they are; None if its loss is not finite."""
    losses = []
    for parts in _ways(list(examples)):
        scores = [row for part in parts for row in runtime.score(part)]
        losses.append(objective.loss(task_objective, [example for part in parts for example in part], scores))
    if not all(map(math.isfinite, losses)):
        return None
    roundoff = _unit_roundoff(dtype)
    return Noise(max(losses) - min(losses), roundoff * abs(losses[0]) / math.sqrt(len(examples)), queries, sides)


def _ways(examples: list[Example]) -> Iterator[list[list[Example]]]:
    """Every way to score them: as lists that are scored one after the other."""
    yield from ([examples], [examples])
    for number in range(_ORDERS):
        yield [random.Random(f"noise/{number}").sample(examples, len(examples))]
    for parts in _PARTS:
        size = -(-len(examples) // parts)
        yield [examples[start : start + size] for start in range(0, len(examples), size)]


def _unit_roundoff(dtype: str) -> float:
    return float(torch.finfo(dtype_of(dtype)).eps) / 2
