"""Where the factors of every layer lie: all A in one flat tensor, all B of a sign in another.

The signs of a pass share A, which stands still for an interval; where both factors of an adapter move, a sign's shard
has an A of its own, as it has a B. Of a core, P stands still as well: what a shard has of its own, and is B here, is
the core, (rank, rank), and P^T, (rank, rows), is there once, for all signs.

A layer that packs several matrices reads their A one under the other, and, where the rank is low, their B block by
block in one, cores and P likewise: few and small products cost as much as they are many. Of a higher rank each matrix
has products of its own, for in one they would be of zeros, two parts of three.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from engine.directions.learned import LowRank
from engine.models.weights import Matrix

_TOGETHER = 16  # rank times matrices of a layer, up to which its matrices share one product with B
_ALIGNED = 64  # numbers, to a multiple of which a layer's factors begin: 128 bytes in half precision


class Slice:
    """One Hugging Face matrix inside a vLLM layer: qkv_proj holds three, or one that is as large as they are.

    Attributes: rows, of the layer's weight; state, what was learned of it; a, (rank, cols), or, where it moves,
    (signs, shards, rank, cols), and b, (signs, shards, rank, rows), where its factors lie. Of a core, b is that,
    transposed, (signs, shards, rank, rank), and left is P^T, (rank, rows).
    """

    def __init__(self, matrix: Matrix, layer: Any, index: int, offset: int, count: int = 1) -> None:
        self.matrix = matrix
        self.layer = layer
        self.parts = range(index, index + count)  # which of the slices that vLLM cuts the layer into
        self.rows = slice(offset, offset + matrix.rows)
        self.state: LowRank
        self.a: torch.Tensor
        self.b: torch.Tensor
        self.left: torch.Tensor


@dataclass(frozen=True)
class Product:
    """One product with B: of some columns of what A gives, to some rows of the layer, or, of a core, to its columns."""

    columns: slice
    rows: slice
    b: torch.Tensor  # (signs, shards, columns, rows)


@dataclass(frozen=True)
class Lift:
    """One product with P: of some columns of what cores give, to some rows of the layer."""

    columns: slice
    rows: slice
    left: torch.Tensor  # (columns, rows)


@dataclass(frozen=True)
class Factors:
    """What a layer reads: A of its matrices one under the other, what each product adds, and what lifts cores."""

    a: torch.Tensor  # (columns, in); (signs, shards, columns, in) where it moves
    products: list[Product]
    lifts: list[Lift]


class _Group(NamedTuple):
    """Matrices that share a product, how many columns it reads, and where its A, its B and its P begin."""

    pieces: list[Slice]
    width: int
    a: int
    b: int
    left: int

    @property
    def rows(self) -> slice:
        return slice(self.pieces[0].rows.start, self.pieces[-1].rows.stop)

    @property
    def height(self) -> int:
        return self.rows.stop - self.rows.start

    def place(self, index: int, rank: int) -> tuple[slice, slice]:
        """Which columns and rows of the product are those of one of its matrices."""
        rows = self.pieces[index].rows
        above, start = index * rank, rows.start - self.rows.start
        return slice(above, above + rank), slice(start, start + rows.stop - rows.start)


class Block(NamedTuple):
    """Factors of several matrices, (rows, rank) of each at its place in a flat tensor, and where B has them."""

    shape: tuple[int, int, int]  # matrices, rank, rows
    start: int  # of the first matrix
    place: int
    apart: int  # from one matrix to the next
    apart_in_b: int
    distance: int  # of two rows of B

    def bring(self, source: torch.Tensor, b: torch.Tensor) -> None:
        """Write them into a sign's flat B."""
        there = b.as_strided(self.shape, (self.apart_in_b, self.distance, 1), b.storage_offset() + self.place)
        there.copy_(source.as_strided(self.shape, (self.apart, 1, self.shape[1]), source.storage_offset() + self.start))


class Plan:
    """Where the factors of every layer lie in the flat A and B.

    Attributes: a_size, b_size, left_size, the numbers that A has, B of one sign, and P; widest, the columns that the
    widest product reads; columns, the most that a layer's products read in all.
    """

    def __init__(
        self, slices: Sequence[Slice], rank: int, on_gpu: bool, shards: int = 1, *, is_core: bool = False
    ) -> None:
        """`shards`: how many B a sign has, each for tokens of its own; with `is_core` they are cores."""
        self._shards, self._is_core = shards, is_core
        columns = 8 if on_gpu else 1  # of what a product reads are a multiple of this: a GPU's want what is aligned
        self._slices, self._rank = slices, rank
        self._layers: dict[int, list[Slice]] = {}
        for piece in slices:
            self._layers.setdefault(id(piece.layer), []).append(piece)
        self._groups: dict[int, list[_Group]] = {}
        self.a_size = self.b_size = self.left_size = self.widest = self.columns = 0
        for layer, pieces in self._layers.items():
            together = rank * shards * len(pieces) <= _TOGETHER
            self._groups[layer] = []
            for some in [pieces] if together else [[piece] for piece in pieces]:
                width = -(-rank * len(some) // columns) * columns
                group = _Group(some, width, self.a_size, self.b_size, self.left_size)
                self._groups[layer].append(group)
                self.a_size += width * some[0].matrix.cols
                self.b_size = _aligned(self.b_size + shards * width * (width if is_core else group.height))
                self.left_size = _aligned(self.left_size + width * group.height) if is_core else 0
            self.a_size = _aligned(self.a_size)
            widths = [group.width for group in self._groups[layer]]
            self.widest, self.columns = max(self.widest, *widths), max(self.columns, sum(widths))

    def place(self, a: torch.Tensor, b: torch.Tensor, left: torch.Tensor) -> dict[int, Factors]:
        """The factors of each layer, and those of each slice, as views; `a` ends in a dimension of `a_size`."""
        return {layer: self._place(groups, a, b, left) for layer, groups in self._groups.items()}

    def _place(self, groups: Sequence[_Group], a: torch.Tensor, b: torch.Tensor, left: torch.Tensor) -> Factors:
        cols, start = groups[0].pieces[0].matrix.cols, groups[0].a
        whole = sum(group.width for group in groups)
        of_layer = Factors(a[..., start : start + whole * cols].unflatten(-1, (whole, cols)), [], [])
        first = 0
        for group in groups:
            columns = slice(first, first + group.width)
            shape = (self._shards, group.width, group.width if self._is_core else group.height)
            part = b[:, group.b : group.b + math.prod(shape)].view(len(b), *shape)
            of_layer.products.append(Product(columns, columns if self._is_core else group.rows, part))
            if self._is_core:
                lift = left[group.left : group.left + group.width * group.height].view(-1, group.height)
                of_layer.lifts.append(Lift(columns, group.rows, lift))
            for index, piece in enumerate(group.pieces):
                own, rows = group.place(index, self._rank)
                piece.a = of_layer.a[..., first + own.start : first + own.stop, :]
                piece.b = part[:, :, own, own if self._is_core else rows]
                if self._is_core:
                    piece.left = lift[own, rows]
            first += group.width
        return of_layer

    def grid(self, side: str, device: torch.device, shard: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """What the kernel reads that writes A, P (`left`) or a shard's B: `engine.directions.kernels.write`."""
        from engine.directions.kernels import write_programs

        places = self._places(side, shard)
        return torch.tensor(places).to(device), write_programs([count for _, count, _, _ in places], device)

    def blocks(self, shard: int = 0) -> list[Block]:
        """The same for a processor, of a shard's B: matrices that are alike, and evenly spaced, are moved as one."""
        alike: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
        for piece, (start, count, place, distance) in zip(self._slices, self._places("b", shard), strict=True):
            role = re.sub(r"\d+", "#", piece.matrix.name)
            alike.setdefault((role, count, distance), []).append((start, place))
        return [
            Block((len(some), self._rank, count // self._rank), *some[0], *_gaps(some), distance)
            for (_, count, distance), all_places in alike.items()
            for some in _evenly_spaced(all_places)
        ]

    def _places(self, side: str, shard: int) -> list[tuple[int, int, int, int]]:
        """Of every slice: where its V, P or coordinates begin, how many numbers that is, where it begins in A, P or B,
        and the distance of two of its rows there."""
        place_of: dict[int, tuple[int, int, int]] = {}
        for group in (group for groups in self._groups.values() for group in groups):
            for index, piece in enumerate(group.pieces):
                own, rows = group.place(index, self._rank)
                if side == "a":
                    cols = piece.matrix.cols
                    place_of[id(piece)] = cols * self._rank, group.a + own.start * cols, cols
                elif side == "left" or not self._is_core:
                    start = group.left if side == "left" else group.b + shard * group.width * group.height
                    start += own.start * group.height + rows.start
                    place_of[id(piece)] = piece.matrix.rows * self._rank, start, group.height
                else:
                    start = group.b + shard * group.width**2
                    place_of[id(piece)] = self._rank**2, start + own.start * (group.width + 1), group.width
        found = [place_of[id(piece)] for piece in self._slices]
        starts = accumulate((count for count, _, _ in found), initial=0)
        return [(start, *there) for start, there in zip(starts, found, strict=False)]


def _evenly_spaced(places: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The places, in order, cut wherever the next is not as far on, in both, as that before it was."""
    run: list[tuple[int, int]] = []
    for place in places:
        if len(run) > 1 and _gaps([run[-1], place]) != _gaps(run):
            yield run
            run = []
        run.append(place)
    yield run


def _gaps(places: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """How far the second is behind the first, in both."""
    first, second = places[0], places[min(1, len(places) - 1)]
    return second[0] - first[0], second[1] - first[1]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
