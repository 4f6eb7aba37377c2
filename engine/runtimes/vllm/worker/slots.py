"""The slots: what every probe of a pass adds to the weights, as LoRA factors over the interval's V.

One sign is W + B A with A = V^T and B = U_acc +- eps U. What is learned and drawn lies one matrix after the other
(`engine.directions.learned`); what a layer's products read lies one layer after the other. A step writes the one
from the other, by one kernel on a GPU, whatever the number of layers, and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from engine.directions import gpu
from engine.directions.fold import FoldMode
from engine.directions.learned import Learned
from engine.directions.low_rank import Drawn, views
from engine.runtimes.vllm.worker.factors import Plan, Slice


class _Sign(NamedTuple):
    """What a sign is made of."""

    direction: tuple[int, int] | None = None  # step and query
    eps: float = 0.0  # how much of it
    learned: float = 1.0  # how much of U_acc


class Slots:
    """Owns A and B of every layer, for `signs` probes, and what they are written from.

    Attributes: learned, U_acc, V and the directions; of_layer, the factors of a layer by its `id`.
    """

    def __init__(
        self,
        slices: list[Slice],
        *,
        rank: int,
        seed: int,
        signs: int,
        dtype: torch.dtype,
        device: torch.device,
        fold: FoldMode,
        drawn: Drawn,
    ):
        self.slices, self.rank = slices, rank
        self._on_gpu = gpu.runs_kernels(device)
        matrices = [piece.matrix for piece in slices]
        self.learned = Learned(matrices, rank, seed, device, fold, drawn, queries=max(1, signs // 2))
        for piece, state in zip(slices, self.learned.states, strict=True):
            piece.state = state
        self._in_use: list[tuple[int, int]] = []
        self._written: list[_Sign] = []
        plan = Plan(slices, rank, self._on_gpu)
        self._a = torch.zeros(plan.a_size, dtype=dtype, device=device)
        self._b = torch.zeros(signs, plan.b_size, dtype=dtype, device=device)
        self.of_layer = plan.place(self._a, self._b)
        if self._on_gpu:
            self._grids = {side: plan.grid(side, device) for side in ("rows", "cols")}
        else:
            # U_acc +- eps U in the precision of the slots, before each matrix is brought to its place.
            self._signs = torch.empty(signs, len(self.learned.learned), dtype=dtype)
            self._by_piece = [views(sign, matrices, "rows") for sign in self._signs]

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`, and make it the A of all layers. Fold first."""
        self.learned.redraw(step)
        if self._on_gpu:
            self._write(self._a, self.learned.v, "cols")
        else:
            for piece in self.slices:
                piece.a.copy_(piece.state.v.T)

    def perturb(self, step: int, queries: Sequence[int], eps: float) -> None:
        """Write U_acc + eps U and U_acc - eps U, one pair of signs after the other for every query."""
        self._in_use = [(step, query) for query in queries]
        self._written = [_Sign(direction, side) for direction in self._in_use for side in (eps, -eps)]
        for index, query in enumerate(queries):
            u = self.learned.direction(step, query, self._in_use)
            if self._on_gpu:
                self._write(self._b[2 * index : 2 * index + 2], self.learned.learned, "rows", u, eps)
            else:
                torch.add(self.learned.learned, u, alpha=eps, out=self._signs[2 * index])
                torch.add(self.learned.learned, u, alpha=-eps, out=self._signs[2 * index + 1])
                self._place(2 * index, 2 * index + 1)

    def settle(self) -> None:
        """Write U_acc itself: the weights as they are, as a single sign."""
        self._written = [_Sign()]
        if self._on_gpu:
            self._write(self._b[0], self.learned.learned, "rows")
        else:
            self._signs[0].copy_(self.learned.learned)
            self._place(0)

    def rest(self) -> None:
        """Write nothing at all as the single sign: the weights as they were folded last."""
        self._written = [_Sign(learned=0.0)]
        self._b[0].zero_()

    def by_definition(self, sign: int) -> list[torch.Tensor]:
        """What a sign adds to each slice, (rows, rank), float32: reckoned again, not read from where it was written."""
        written = self._written[sign]
        added = self.learned.learned * written.learned
        if written.direction is not None:
            added.add_(self.learned.direction(*written.direction, self._in_use), alpha=written.eps)
        return views(added, [piece.matrix for piece in self.slices], "rows")

    def draw_ahead(self, step: int, queries: Sequence[int]) -> None:
        """Draw directions that a later step will ask for, without losing those in use."""
        self.learned.draw_ahead(step, queries, self._in_use)

    def _place(self, *signs: int) -> None:
        for sign in signs:
            for piece, b in zip(self.slices, self._by_piece[sign], strict=True):
                piece.b[sign].copy_(b.T)

    def _write(
        self, out: torch.Tensor, source: torch.Tensor, side: str, u: torch.Tensor | None = None, eps: float = 0.0
    ) -> None:
        from engine.directions import kernels

        places, grid = self._grids[side]
        kernels.write(out, source, u, eps, places, grid, self.rank)
