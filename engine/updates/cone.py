"""Directions within a cone around where earlier steps went: ConMeZO, in the coordinates of the interval's basis.

Z = sqrt(d) cos(theta) M / |M| + sin(theta) U of d coordinates, U ~ N(0, 1);   X <- X - lr mean_d g_d Z_d
M <- beta M + (1 - beta) mean_d g_d Z_d,   M = 0, and Z = U, before the first step

|M| is measured, over all matrices: of their shares the small are added first, so that their order changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from engine.updates.memory import Carry, Memory, take_in


class Cone(Memory):
    """Remembers M."""

    def __init__(
        self, shapes: Sequence[tuple[int, int]], device: torch.device, momentum: float, angle: float, carry: Carry
    ) -> None:
        self._sizes = [rows * columns for rows, columns in shapes]
        size = sum(self._sizes)
        super().__init__(carry, {"momentum": torch.zeros(size, device=device)}, projected=["momentum"])
        self._keep, self._angle = momentum, angle
        self._mean = torch.empty(size, device=device)

    def bend(self, drawn: torch.Tensor) -> None:
        momentum = self.tensors["momentum"]
        squares = [torch.linalg.vector_norm(part, dtype=torch.float64) ** 2 for part in momentum.split(self._sizes)]
        norm = torch.stack(squares).sort().values.sum().sqrt()  # the device's own: nothing waits for it
        along = math.sqrt(momentum.numel()) * math.cos(self._angle) / norm
        there = norm > 0
        drawn.mul_(torch.where(there, math.sin(self._angle), 1.0).float())
        drawn.addcmul_(momentum, torch.where(there, along, 0.0).float())

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        take_in(self._mean, 0.0, gradients, direction)  # of all directions, before M changes what they are
        into.sub_(self._mean, alpha=lr)
        self.tensors["momentum"].mul_(self._keep).add_(self._mean, alpha=1 - self._keep)
        self.learned = True
