"""Random directions as a function of (seed, step, query, parameter name), and of nothing else.

A low-rank direction is Z = U V^T, with U fresh every step and V redrawn every interval: of normals (LoZO, arXiv
2410.07698, Algorithm 1), of signs, with an orthonormal V, or as `engine.directions.space` says. Each factor of each
matrix has numbers of its own, so that any runtime, in any order, draws the same, and the journal need not hold it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import torch

from engine.directions.chance import chances_of
from engine.directions.keyed import TorchDirections
from engine.directions.orthonormal import orthonormalise
from engine.directions.philox import Normals
from engine.directions.rademacher import Signs
from engine.directions.space import Space
from engine.models.weights import Matrix
from engine.protocol.events import Step

Drawn = Literal["philox", "torch"]
"""What draws: a counter, the same everywhere; or torch's generators, in runs that zotui 0.2 and earlier began."""


def drawn_by(first: Step | None) -> Drawn:
    """What draws the directions of a run with this first step: of all its steps."""
    return "philox" if first is None or first.drew == "philox" else "torch"


class Directions(Protocol):
    """A source of low-rank directions for all matrices at once: their factors lie one after the other."""

    def v_into(self, out: torch.Tensor, step: int) -> None:
        """V of the interval that begins at `step`: (cols, rank) of every matrix, into `out`, flat and float32.

        Of an adapter its A, transposed, as it begins: without the scale.
        """

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        """The coordinates of a direction of a step, into `out`, flat and float32: U, (rows, rank), of every matrix.

        Of a core, (rank, rank) each; of both factors of an adapter, the A of every matrix, (cols, rank), after all B.
        """


def directions(drawn: Drawn, matrices: Sequence[Matrix], space: Space, seed: int, device: torch.device) -> Directions:
    """Those of a run of ours."""
    if drawn == "torch":
        return TorchDirections(matrices, space.rank, seed, device)
    return CounterDirections(matrices, space, seed, device)


def coordinates(matrices: Sequence[Matrix], space: Space) -> list[tuple[int, int]]:
    """The shapes of what is drawn for a direction, a matrix each; of two factors, those of B and then those of A."""
    shapes = [(space.rank if space.coordinates == "core" else matrix.rows, space.rank) for matrix in matrices]
    return [*shapes, *((matrix.cols, space.rank) for matrix in matrices)] if space.own_a else shapes


class CounterDirections:
    """The same on every device, but for what is orthonormal: its last bits are the device's own."""

    def __init__(self, matrices: Sequence[Matrix], space: Space, seed: int, device: torch.device) -> None:
        self._matrices, self._space, self._seed = matrices, space, seed
        kind = Signs if space.law == "rademacher" else Normals
        shapes = coordinates(matrices, space)
        self._u = kind(seed, "u", [(m.name, a * b) for m, (a, b) in zip(matrices, shapes, strict=False)], device)
        self._v = kind(seed, "v", [(m.name, m.cols * space.rank) for m in matrices], device)
        self._b_size = space.rank * sum(matrix.rows for matrix in matrices)

    def v_into(self, out: torch.Tensor, step: int) -> None:
        if self._space.basis == "adapter":
            self._adapter_into(out)
        else:
            self._v.fill(out, step)
            if self._space.basis == "orthonormal":
                orthonormalise(views(out, self._matrices, "cols"))
            if self._space.scale != 1:
                out.mul_(self._space.scale)

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        if self._space.own_a:
            self._u.fill(out[: self._b_size], step, query)
            self._v.fill(out[self._b_size :], step, query)
        else:
            self._u.fill(out, step, query)

    def _adapter_into(self, out: torch.Tensor) -> None:
        """A of every adapter, as it begins everywhere: evenly distributed up to 1 / sqrt(cols) to either side."""
        for matrix, part in zip(self._matrices, views(out, self._matrices, "cols"), strict=True):
            chances = chances_of("philox", self._seed, 0, f"adapter/{matrix.name}", torch.device("cpu"))
            part.copy_((chances(part.numel()).view(part.shape) * 2 - 1) / math.sqrt(matrix.cols))


def views(flat: torch.Tensor, matrices: Sequence[Matrix], side: Literal["rows", "cols"]) -> list[torch.Tensor]:
    """The factors of each matrix, (rows or cols, rank), within a flat tensor of all."""
    lengths = [getattr(matrix, side) for matrix in matrices]
    rank = flat.numel() // max(1, sum(lengths))
    parts = flat.split([length * rank for length in lengths])
    return [part.view(length, rank) for part, length in zip(parts, lengths, strict=True)]
