"""Where the factors of every layer lie: all A in one flat tensor, all B of a sign in another.

The signs of a pass share A, which stands still for an interval; where both factors of an adapter move, a sign's shard
has an A of its own, as it has a B.

A layer that packs several matrices reads their A one under the other, and, where the rank is low, their B block by
block in one: few and small products cost as much as they are many.
"""

from __future__ import annotations

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
    (signs, shards, rank, cols), and b, (signs, shards, rank, rows), where its factors lie.
    """

    def __init__(self, matrix: Matrix, layer: Any, index: int, offset: int, count: int = 1) -> None:
        self.matrix = matrix
        self.layer = layer
        self.parts = range(index, index + count)  # which of the slices that vLLM cuts the layer into
        self.rows = slice(offset, offset + matrix.rows)
        self.state: LowRank
        self.a: torch.Tensor
        self.b: torch.Tensor


@dataclass(frozen=True)
class Product:
    """One product with B: of some columns of what A gives, to some rows of the layer."""

    columns: slice
    rows: slice
    b: torch.Tensor  # (signs, shards, columns, rows)


@dataclass(frozen=True)
class Factors:
    """What a layer reads: A of its matrices one under the other, and what each product adds."""

    a: torch.Tensor  # (columns, in); (signs, shards, columns, in) where it moves
    products: list[Product]


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

    Attributes: a_size, b_size, the numbers that A has, and B of one sign; widest, the columns that the widest product
    reads; columns, the most that a layer's products read in all.
    """

    def __init__(self, slices: Sequence[Slice], rank: int, on_gpu: bool, shards: int = 1) -> None:
        """`shards`: how many B a sign has, each for tokens of its own."""
        self._shards = shards
        columns = 8 if on_gpu else 1  # of what a product reads are a multiple of this: a GPU's want what is aligned
        self._slices, self._rank = slices, rank
        self._layers: dict[int, list[Slice]] = {}
        for piece in slices:
            self._layers.setdefault(id(piece.layer), []).append(piece)
        # (slices, columns) of every product, and where its A and B begin.
        self._products: dict[int, list[tuple[list[Slice], int, int, int]]] = {}
        self.a_size = self.b_size = self.widest = self.columns = 0
        for layer, pieces in self._layers.items():
            together = rank * shards * len(pieces) <= _TOGETHER
            self._products[layer] = []
            for group in [pieces] if together else [[piece] for piece in pieces]:
                width = -(-rank * len(group) // columns) * columns
                self._products[layer].append((group, width, self.a_size, self.b_size))
                self.a_size += width * group[0].matrix.cols
                self.b_size = _aligned(self.b_size + shards * width * (group[-1].rows.stop - group[0].rows.start))
            self.a_size = _aligned(self.a_size)
            widths = [width for _, width, _, _ in self._products[layer]]
            self.widest, self.columns = max(self.widest, *widths), max(self.columns, sum(widths))

    def place(self, a: torch.Tensor, b: torch.Tensor) -> dict[int, Factors]:
        """The factors of each layer, and those of each slice, as views; `a` ends in a dimension of `a_size`."""
        return {layer: self._place(products, a, b) for layer, products in self._products.items()}

    def _place(
        self, products: Sequence[tuple[list[Slice], int, int, int]], a: torch.Tensor, b: torch.Tensor
    ) -> Factors:
        cols = products[0][0][0].matrix.cols
        whole = sum(width for _, width, _, _ in products)
        start = products[0][2]
        of_layer = Factors(a[..., start : start + whole * cols].unflatten(-1, (whole, cols)), [])
        first = 0
        for group, width, _, b_start in products:
            rows = slice(group[0].rows.start, group[-1].rows.stop)
            height = rows.stop - rows.start
            size = self._shards * width * height
            part = b[:, b_start : b_start + size].view(len(b), self._shards, width, height)
            of_layer.products.append(Product(slice(first, first + width), rows, part))
            for index, piece in enumerate(group):
                own = slice(index * self._rank, (index + 1) * self._rank)
                piece.a = of_layer.a[..., first + own.start : first + own.stop, :]
                piece.b = part[:, :, own, piece.rows.start - rows.start : piece.rows.stop - rows.start]
            first += width
        return of_layer

    def grid(self, side: str, device: torch.device, shard: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """What the kernel reads that writes A (`cols`) or a shard's B (`rows`): `engine.directions.kernels.write`."""
        from engine.directions.kernels import write_programs

        places = self._places(side, shard)
        return torch.tensor(places).to(device), write_programs([count for _, count, _, _ in places], device)

    def blocks(self, shard: int = 0) -> list[Block]:
        """The same for a processor, of a shard's B: matrices that are alike, and evenly spaced, are moved as one."""
        alike: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
        for piece, (start, count, place, distance) in zip(self._slices, self._places("rows", shard), strict=True):
            role = re.sub(r"\d+", "#", piece.matrix.name)
            alike.setdefault((role, count, distance), []).append((start, place))
        return [
            Block((len(some), self._rank, count // self._rank), *some[0], *_gaps(some), distance)
            for (_, count, distance), all_places in alike.items()
            for some in _evenly_spaced(all_places)
        ]

    def _places(self, side: str, shard: int) -> list[tuple[int, int, int, int]]:
        """Of every slice: where its U or V begins, how many numbers that is, where it begins in A or B, and the
        distance of two of its rows there."""
        place_of: dict[int, tuple[int, int]] = {}
        for products in self._products.values():
            for group, width, a_start, b_start in products:
                cols, height = group[0].matrix.cols, group[-1].rows.stop - group[0].rows.start
                b_start += shard * width * height
                for index, piece in enumerate(group):
                    above = index * self._rank
                    if side == "cols":
                        place_of[id(piece)] = a_start + above * cols, cols
                    else:
                        offset = piece.rows.start - group[0].rows.start
                        place_of[id(piece)] = b_start + above * height + offset, height
        counts = [getattr(piece.matrix, side) * self._rank for piece in self._slices]
        starts = accumulate(counts, initial=0)
        return [
            (start, count, *place_of[id(piece)])
            for piece, start, count in zip(self._slices, starts, counts, strict=False)
        ]


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
