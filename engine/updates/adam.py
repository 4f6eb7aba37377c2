"""Adam, element by element, on the coordinates: SubZero+ (the r x r core of a subspace), betas 0.9 and 0.95.

C = mean_d g_d S_d,   m <- beta1 m + (1 - beta1) C,   v <- beta2 v + (1 - beta2) C^2,
X <- X - lr m' / (sqrt(v') + 1e-8),   m' = m / (1 - beta1^t),   v' = v / (1 - beta2^t)

t counts steps since m and v were 0. The 1e-8 is the paper's, and absolute: it is beside entries of C, of the size of
the gradients. The more coordinates there are for a direction, the less this is worth: with one direction it is
nearly sign(S). `project` takes m to the new basis, and leaves v and t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from engine.updates.memory import Carry, Memory, take_in

_LEAST = 1e-8


class Adam(Memory):
    """Remembers m, v and t."""

    def __init__(self, size: int, device: torch.device, momentum: float, second_momentum: float, carry: Carry) -> None:
        moments = {name: torch.zeros(size, device=device) for name in ("first", "second")}
        super().__init__(carry, moments, ["steps"], projected=["first"])
        self._first, self._second = momentum, second_momentum
        self._core = torch.empty(size, device=device)

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        core, first, second = self._core, self.tensors["first"], self.tensors["second"]
        take_in(core, 0.0, gradients, direction)
        first.mul_(self._first).add_(core, alpha=1 - self._first)
        second.mul_(self._second).addcmul_(core, core, value=1 - self._second)
        self.numbers["steps"] += 1
        self.learned = True
        steps = self.numbers["steps"]
        root = torch.sqrt(second, out=core).div_(math.sqrt(1 - self._second**steps)).add_(_LEAST)
        into.addcdiv_(first, root, value=-lr / (1 - self._first**steps))
