"""What a run learned, as the sum of its intervals' U_acc V^T, each matrix by itself and beside any weight.

It is kept as it came, one factor beside the other, as long as that is smaller than the matrix: the sum of more terms
than its smaller side has numbers is the matrix itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from engine.directions.learned import LowRank
from engine.models.weights import Matrix


class Sum:
    """Of one matrix. Attributes: u, (rows, r) each, and v, (cols, r); whole, (rows, cols), instead, of many terms."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.u: list[torch.Tensor] = []
        self.v: list[torch.Tensor] = []
        self.whole: torch.Tensor | None = None

    def add(self, u: torch.Tensor, v: torch.Tensor) -> None:
        """u v^T more; both float32, and copied."""
        if self.whole is not None:
            self.whole.addmm_(u, v.T)
            return
        self.u.append(u.to("cpu", copy=True))
        self.v.append(v.to("cpu", copy=True))
        if self.rank > min(self.matrix.rows, self.matrix.cols):
            self.whole = torch.cat(self.u, 1) @ torch.cat(self.v, 1).T
            self.u, self.v = [], []

    @property
    def rank(self) -> int:
        """Of the terms together, an upper bound of that of their sum."""
        if self.whole is not None:
            return min(self.whole.shape)
        return sum(one.shape[1] for one in self.u)


class Terms:
    """Of all matrices, in the order in which they are drawn."""

    def __init__(self) -> None:
        self.sums: dict[str, Sum] = {}

    def take(self, states: Iterable[LowRank], u_of: Iterable[torch.Tensor]) -> None:
        """An interval is over: of each matrix U_acc, (rows, r), beside the V that its state still has."""
        for state, u in zip(states, u_of, strict=True):
            self.sums.setdefault(state.matrix.name, Sum(state.matrix)).add(u, state.v)

    @property
    def rank(self) -> float:
        """Up to which a sum of all terms, side by side, is exact; infinite where they are not kept side by side."""
        kept = all(one.whole is None for one in self.sums.values())
        return max((one.rank for one in self.sums.values()), default=0) if kept else math.inf
