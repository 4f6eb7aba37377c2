"""The slots: what every probe of a pass adds to the weights, as LoRA factors over the interval's V.

One sign is W + B A with A = V^T and B = U_acc +- eps U. What is learned and drawn lies one matrix after the other
(`engine.directions.learned`); what a layer's products read lies one layer after the other. A step writes the one
from the other, by one kernel on a GPU, whatever the number of layers, and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from engine.directions import gpu
from engine.directions.fold import FoldMode
from engine.directions.learned import Learned, LowRank
from engine.directions.low_rank import Drawn, views
from engine.models.weights import Matrix

_TOGETHER = 16  # rank times matrices of a layer, up to which its matrices share one product with B
_ALIGNED = 64  # numbers, to a multiple of which a layer's factors begin: 128 bytes in half precision


class Slice:
    """One Hugging Face matrix inside a vLLM layer (qkv_proj holds three).

    Attributes: rows, of the layer's weight; state, what was learned of it; a, (rank, cols), and b, (signs, rank, rows),
    where its factors lie.
    """

    def __init__(self, matrix: Matrix, layer: Any, index: int, offset: int) -> None:
        self.matrix = matrix
        self.layer = layer
        self.index = index  # among the layer's slices
        self.rows = slice(offset, offset + matrix.rows)
        self.state: LowRank
        self.a: torch.Tensor
        self.b: torch.Tensor


class _Sign(NamedTuple):
    """What a sign is made of."""

    direction: tuple[int, int] | None = None  # step and query
    eps: float = 0.0  # how much of it
    learned: float = 1.0  # how much of U_acc


@dataclass(frozen=True)
class Product:
    """One product with B: of some columns of what A gives, to some rows of the layer."""

    columns: slice
    rows: slice
    b: torch.Tensor  # (signs, columns, rows)


@dataclass(frozen=True)
class Factors:
    """What a layer reads: A of its matrices one under the other, and what each product adds."""

    a: torch.Tensor  # (columns, in)
    products: list[Product]


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


class Plan:
    """Where the factors of every layer lie in the flat A and B.

    Attributes: a_size, b_size, the numbers that A has, and B of one sign.
    """

    def __init__(self, slices: Sequence[Slice], rank: int, on_gpu: bool) -> None:
        columns = 8 if on_gpu else 1  # of what a product reads are a multiple of this: a GPU's want what is aligned
        self._slices, self._rank = slices, rank
        self._layers: dict[int, list[Slice]] = {}
        for piece in slices:
            self._layers.setdefault(id(piece.layer), []).append(piece)
        # (slices, columns) of every product, and where its A and B begin.
        self._products: dict[int, list[tuple[list[Slice], int, int, int]]] = {}
        self.a_size = self.b_size = 0
        for layer, pieces in self._layers.items():
            together = rank * len(pieces) <= _TOGETHER
            self._products[layer] = []
            for group in [pieces] if together else [[piece] for piece in pieces]:
                width = -(-rank * len(group) // columns) * columns
                self._products[layer].append((group, width, self.a_size, self.b_size))
                self.a_size += width * group[0].matrix.cols
                self.b_size = _aligned(self.b_size + width * (group[-1].rows.stop - group[0].rows.start))
            self.a_size = _aligned(self.a_size)

    def place(self, a: torch.Tensor, b: torch.Tensor) -> dict[int, Factors]:
        """The factors of each layer, and those of each slice, as views."""
        return {layer: self._place(products, a, b) for layer, products in self._products.items()}

    def _place(
        self, products: Sequence[tuple[list[Slice], int, int, int]], a: torch.Tensor, b: torch.Tensor
    ) -> Factors:
        cols = products[0][0][0].matrix.cols
        whole = sum(width for _, width, _, _ in products)
        start = products[0][2]
        of_layer = Factors(a[start : start + whole * cols].view(whole, cols), [])
        first = 0
        for group, width, _, b_start in products:
            rows = slice(group[0].rows.start, group[-1].rows.stop)
            height = rows.stop - rows.start
            part = b[:, b_start : b_start + width * height].view(len(b), width, height)
            of_layer.products.append(Product(slice(first, first + width), rows, part))
            for index, piece in enumerate(group):
                own = slice(index * self._rank, (index + 1) * self._rank)
                piece.a = of_layer.a[first + own.start : first + own.stop]
                piece.b = part[:, own, piece.rows.start - rows.start : piece.rows.stop - rows.start]
            first += width
        return of_layer

    def grid(self, side: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """What the kernel reads that writes A (`cols`) or B (`rows`): see `engine.directions.kernels.write`."""
        from engine.directions.kernels import write_programs

        place_of: dict[int, tuple[int, int]] = {}
        for products in self._products.values():
            for group, _, a_start, b_start in products:
                cols, height = group[0].matrix.cols, group[-1].rows.stop - group[0].rows.start
                for index, piece in enumerate(group):
                    above = index * self._rank
                    if side == "cols":
                        place_of[id(piece)] = a_start + above * cols, cols
                    else:
                        offset = piece.rows.start - group[0].rows.start
                        place_of[id(piece)] = b_start + above * height + offset, height
        counts = [getattr(piece.matrix, side) * self._rank for piece in self._slices]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        places = [
            (start, count, *place_of[id(piece)])
            for piece, start, count in zip(self._slices, starts, counts, strict=True)
        ]
        return torch.tensor(places).to(device), write_programs(counts, device)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
