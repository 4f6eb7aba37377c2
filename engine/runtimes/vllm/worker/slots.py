"""The slots: what every probe of a pass adds to the weights, as LoRA factors over the interval's V.

One sign is W + B A with A = V^T and B = U_acc +- eps U. All B of a sign lie in one flat tensor, and so
do all U of a query and all U_acc: a step writes and updates them with a few kernels, whatever the
number of layers, and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engine.directions.fold import FoldMode
from engine.directions.learned import LowRank
from engine.models.weights import Matrix

_AHEAD = 2**28  # bytes of directions that may be drawn ahead of their step


class Slice:
    """One Hugging Face matrix inside a vLLM layer (qkv_proj holds three): what was learned of it."""

    def __init__(self, matrix: Matrix, layer: Any, index: int, offset: int) -> None:
        self.matrix = matrix
        self.layer = layer
        self.index = index  # among the layer's slices
        self.rows = slice(offset, offset + matrix.rows)  # of the layer's weight
        self.span = slice(0, 0)  # of the flat tensors
        self.state: LowRank
        self.b: torch.Tensor  # (signs, rows, rank), what each sign adds


class Slots:
    """Owns U_acc, U and B of every slice; `signs` probes' worth of B."""

    def __init__(
        self, slices: list[Slice], *, rank: int, seed: int, signs: int, dtype: torch.dtype, device: Any, fold: FoldMode
    ):
        self.slices, self.rank, self.signs = slices, rank, signs
        size = sum(piece.matrix.rows for piece in slices) * rank
        queries = max(1, signs // 2)
        self._learned = torch.zeros(size, device=device)
        self._b = torch.zeros(signs, size, dtype=dtype, device=device)
        # Twice as many as a pass needs, so that the next step's are drawn while this one's are in use.
        ahead = 2 if 4 * size * queries <= _AHEAD else 1
        self._u = [torch.empty(size, device=device) for _ in range(queries * ahead)]
        self._drawn: list[tuple[int, int] | None] = [None] * len(self._u)  # (step, query) of each
        self._can_draw_ahead = ahead == 2
        self._in_use: list[tuple[int, int]] = []
        start = 0
        for piece in slices:
            rows = piece.matrix.rows
            piece.span = slice(start, start + rows * rank)
            piece.b = self._b[:, piece.span].view(signs, rows, rank)
            piece.state = LowRank(piece.matrix, rank, seed, torch.device(device), fold)
            piece.state.learned = self._learned[piece.span].view(rows, rank)
            start += rows * rank

    def perturb(self, step: int, queries: Sequence[int], eps: float) -> None:
        """Write U_acc + eps U and U_acc - eps U, one pair of signs after the other for every query."""
        self._in_use = [(step, query) for query in queries]
        for index, query in enumerate(queries):
            u = self._direction(step, query, self._in_use)
            torch.add(self._learned, u, alpha=eps, out=self._b[2 * index])
            torch.add(self._learned, u, alpha=-eps, out=self._b[2 * index + 1])

    def settle(self) -> None:
        """Write U_acc itself: the weights as they are, as a single sign."""
        self._b[0].copy_(self._learned)

    def rest(self) -> None:
        """Write nothing at all as the single sign: the weights as they were folded last."""
        self._b[0].zero_()

    def update(self, step: int, coefficients: Sequence[float]) -> None:
        """U_acc <- U_acc - sum_q coefficients[q] U(step, q), in float32."""
        for query, coefficient in enumerate(coefficients):
            self._learned.sub_(self._direction(step, query, ()), alpha=coefficient)

    def draw_ahead(self, step: int, queries: Sequence[int]) -> None:
        """Draw directions that a later step will ask for, without losing those in use."""
        if self._can_draw_ahead:
            keep = [*self._in_use, *((step, query) for query in queries)]
            for query in queries:
                self._direction(step, query, keep)

    def _direction(self, step: int, query: int, keep: Sequence[tuple[int, int]]) -> torch.Tensor:
        """All U of one query of one step, drawn unless they still are."""
        wanted = (step, query)
        if wanted in self._drawn:
            return self._u[self._drawn.index(wanted)]
        place = next(index for index, held in enumerate(self._drawn) if held not in keep)
        self._drawn[place] = None
        for piece in self.slices:
            piece.state.directions.u_into(self._u[place][piece.span], piece.matrix, step, query)
        self._drawn[place] = wanted
        return self._u[place]
