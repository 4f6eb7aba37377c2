"""Momentum in the coordinates: LoZO-M (arXiv 2410.07698, Algorithm 2).

N <- beta N + (1 - beta) mean_d g_d U_d,   X <- X - lr N,   N = 0 before the first step

Between the paper's bases N goes by V_old^T V_new / n, which is of the order of 1 / sqrt(n): `project` all but drops it.

The official code (optsuite/LOZO, medium_models) departs from this: N <- g U in the first step, without 1 - beta; on
every step that redraws V, the U it applies, and goes on to remember, is not the one that was probed; and with an
interval of 1 it remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.updates.memory import Carry, Memory, take_in


class Momentum(Memory):
    """Remembers N."""

    def __init__(self, size: int, device: torch.device, momentum: float, carry: Carry) -> None:
        super().__init__(carry, {"momentum": torch.zeros(size, device=device)}, projected=["momentum"])
        self._keep = momentum

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        momentum = self.tensors["momentum"]
        take_in(momentum, self._keep, gradients, direction)
        into.sub_(momentum, alpha=lr)
        self.learned = True
