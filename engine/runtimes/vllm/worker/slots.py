"""The slots: what every probe of a pass adds to the weights, as LoRA factors over the interval's V.

One sign is W + B A with A = V^T and B = U_acc +- eps U; where both factors of an adapter move, A is a sign's own. Of a
core, whose U is P S, only S, (rank, rank), is a sign's own: P^T is written where A is. What is learned and drawn lies
one matrix after the other (`engine.directions.learned`); what a layer's products read lies one layer after the other. A
step writes the one from the other, by one kernel on a GPU, whatever the number of layers, and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from engine.directions import gpu
from engine.directions.fold import FoldMode
from engine.directions.learned import Learned
from engine.directions.low_rank import Drawn, views
from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.runtimes.vllm.worker.factors import Plan, Slice
from engine.updates.base import Rule


class Sign(NamedTuple):
    """What one scoring of the batch is made at."""

    query: int  # -1: at none
    eps: float  # how much of its directions


class _Written(NamedTuple):
    """What a sign's shard is made of."""

    direction: tuple[int, int] | None = None  # step and direction
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
        space: Space,
        rule: Rule,
        seed: int,
        signs: int,
        probing: Probing,
        dtype: torch.dtype,
        device: torch.device,
        fold: FoldMode,
        drawn: Drawn,
    ):
        """`signs`: how many a pass has at most."""
        self.slices, self.rank, shards = slices, space.rank, probing.shards
        self._on_gpu = gpu.runs_kernels(device)
        matrices = [piece.matrix for piece in slices]
        at_once = max(1, signs // 2) if probing.sides == "two" else signs  # queries of a pass
        self.learned = Learned(matrices, space, seed, device, fold, drawn, rule, at_once=at_once * shards)
        for piece, state in zip(slices, self.learned.states, strict=True):
            piece.state = state
        self._in_use: list[tuple[int, int]] = []
        self._written: list[list[_Written]] = []
        self._own_a, self._is_core = space.own_a, self.learned.left is not None
        plan = Plan(slices, self.rank, self._on_gpu, shards, is_core=self._is_core)
        own = (signs, shards) if space.own_a else ()
        self._a = torch.zeros(*own, plan.a_size, dtype=dtype, device=device)
        self._b = torch.zeros(signs, plan.b_size, dtype=dtype, device=device)
        self._left = torch.zeros(plan.left_size, dtype=dtype, device=device)
        self.of_layer = plan.place(self._a, self._b, self._left)
        if self._on_gpu:
            self._grid_of_a = plan.grid("a", device)
            self._grid_of_left = plan.grid("left", device) if self._is_core else None
            self._grids = [plan.grid("b", device, shard) for shard in range(shards)]
        else:
            self._blocks = [plan.blocks(shard) for shard in range(shards)]
        self._sum = torch.empty_like(self.learned.learned)

    def redraw(self, step: int) -> None:
        """Draw the V, and P, of the interval that begins at `step`, and make it the A of all layers. Fold first."""
        self.learned.redraw(step)
        self.write_a()

    def learn(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """Move U_acc by the update rule, in float32, with the mean of gradients[d] U(step, d) as its estimate."""
        self.learned.learn(step, gradients, lr)

    def resume(self, step: int, state: Mapping[str, torch.Tensor]) -> None:
        """The interval began at `step`, and the update rule's state was this after it."""
        self.learned.resume(step, state)
        self.write_a()

    def write_a(self) -> None:
        """That of the interval, and P with it; where A moves it is written with every sign."""
        if self._own_a:
            return
        left = self.learned.left
        if self._on_gpu:
            self._write(self._a, self.learned.v, self._grid_of_a)
            if left is not None and self._grid_of_left is not None:
                self._write(self._left, left.flat, self._grid_of_left)
        else:
            for piece in self.slices:
                piece.a.copy_(piece.state.v.T)
                if piece.state.left is not None:
                    piece.left.copy_(piece.state.left.T)

    def perturb(self, step: int, signs: Sequence[Sign], shards: int) -> None:
        """Write U_acc + eps U of every sign. With shards, shard s of query q has the direction q * shards + s."""
        self._in_use = [(step, d) for sign in signs for d in _directions(sign, shards)]
        self._written = [
            [_Written((step, d), sign.eps) for d in _directions(sign, shards)] or [_Written()] * shards
            for sign in signs
        ]
        index = 0
        while index < len(signs):
            sign, after = signs[index], signs[index + 1 : index + 2]
            pair = bool(after) and after[0] == (sign.query, -sign.eps) and sign.query >= 0
            for shard in range(shards):
                self._perturb(index, shard, pair)
            index += 2 if pair else 1

    def _perturb(self, index: int, shard: int, pair: bool) -> None:
        """Write a shard of a sign; of a pair, also of the next sign, whose eps is the opposite."""
        written = self._written[index][shard]
        if written.direction is None:
            self._write_one(index, shard)
            return
        u = self.learned.direction(*written.direction, self._in_use)
        if pair and self._on_gpu and not self._own_a:
            self._write(self._b[index : index + 2], self.learned.learned, self._grids[shard], u, written.eps)
            return
        for side in range(2 if pair else 1):
            self._write_one(index + side, shard, u, self._written[index + side][shard].eps)

    def settle(self) -> None:
        """Write U_acc itself: the weights as they are, as a single sign."""
        self._written = [[_Written()]]
        self._write_one(0, 0)

    def rest(self) -> None:
        """Write nothing at all as the single sign: the weights as they were folded last."""
        self._written = [[_Written(learned=0.0)]]
        self._b[0].zero_()

    def by_definition(self, sign: int, shard: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """U, (rows, rank), and V, (cols, rank), of what a sign adds to each slice, float32.

        They are reckoned again, not read from where they were written.
        """
        written = self._written[sign][shard]
        added = self.learned.learned * written.learned
        if written.direction is not None:
            added.add_(self.learned.direction(*written.direction, self._in_use), alpha=written.eps)
        matrices = [piece.matrix for piece in self.slices]
        u = views(self.learned.lifted(added), matrices, "rows")
        return list(zip(u, views(self.learned.right(added), matrices, "cols"), strict=True))

    def draw_ahead(self, step: int, directions: Sequence[int]) -> None:
        """Draw directions that a later step will ask for, without losing those in use."""
        self.learned.draw_ahead(step, directions, self._in_use)

    def _write_one(self, sign: int, shard: int, u: torch.Tensor | None = None, eps: float = 0.0) -> None:
        """Bring what a sign adds, U_acc + eps U by coordinates, to its place: a shard's B, and A where that moves."""
        learned = self.learned
        if self._own_a:
            self._write_own_a(sign, shard, learned.learned if u is None else torch.add(learned.learned, u, alpha=eps))
        summed = learned.learned if u is None else torch.add(learned.learned, u, alpha=eps, out=self._sum)
        b = summed if self._is_core else learned.lifted(summed)
        if self._on_gpu:
            self._write(self._b[sign], b, self._grids[shard])
            return
        rounded = b.to(self._b.dtype)
        for block in self._blocks[shard]:
            block.bring(rounded, self._b[sign])

    def _write_own_a(self, sign: int, shard: int, coordinates: torch.Tensor) -> None:
        v = self.learned.right(coordinates)
        if self._on_gpu:
            self._write(self._a[sign, shard], v, self._grid_of_a)
            return
        for piece, part in zip(self.slices, views(v, [piece.matrix for piece in self.slices], "cols"), strict=True):
            piece.a[sign, shard].copy_(part.T)

    def _write(
        self,
        out: torch.Tensor,
        source: torch.Tensor,
        grid: tuple[torch.Tensor, torch.Tensor],
        u: torch.Tensor | None = None,
        eps: float = 0.0,
    ) -> None:
        from engine.directions import kernels

        kernels.write(out, source, u, eps, *grid, self.rank)


def _directions(sign: Sign, shards: int) -> list[int]:
    """Those of a query, a shard each; none of the weights as they are."""
    return [] if sign.query < 0 else [sign.query * shards + shard for shard in range(shards)]
