"""Stochastic gradient descent: X <- X - lr mean_d g_d Z_d (MeZO, arXiv 2305.17333; LoZO, arXiv 2410.07698)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.updates.memory import Memory


class Sgd(Memory):
    """Remembers nothing."""

    def __init__(self) -> None:
        super().__init__("drop")

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        descend(gradients, direction, lr, into)


def descend(
    gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
) -> None:
    """One direction after the other: the bits of all runs by earlier releases are those of this order."""
    for index, gradient in enumerate(gradients):
        coefficient = lr * gradient / len(gradients)
        if coefficient:
            into.sub_(direction(index), alpha=coefficient)
