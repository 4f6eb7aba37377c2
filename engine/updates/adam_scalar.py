"""A rate that follows the size of the gradients: MEAZO (arXiv 2605.03869), Adam's second moment as one number.

v <- beta v + (1 - beta) mean_d g_d^2,   v' = v / (1 - beta^t),   X <- X - lr / (sqrt(v') + 1e-8) mean_d g_d Z_d

t counts steps since v was 0. With one direction a step this is the paper's; with several the paper squares the mean of
the g_d, which vanishes where they are centred, or differ in sign. v is no function of the basis: `drop` forgets it all
the same, and `keep` and `project` are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from engine.updates.memory import Carry, Memory
from engine.updates.sgd import descend

_LEAST = 1e-8  # of a root: where all gradients were 0


class AdamScalar(Memory):
    """Remembers v and t."""

    def __init__(self, second_momentum: float, carry: Carry) -> None:
        super().__init__(carry, numbers=["squares", "steps"])
        self._keep = second_momentum

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        keep, numbers = self._keep, self.numbers
        square = math.fsum(gradient * gradient for gradient in gradients) / len(gradients)
        numbers["squares"] = keep * numbers["squares"] + (1 - keep) * square
        numbers["steps"] += 1
        self.learned = True
        root = math.sqrt(numbers["squares"] / (1 - keep ** numbers["steps"]))
        descend(gradients, direction, lr / (root + _LEAST), into)
