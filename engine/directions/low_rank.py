"""Random directions as a function of (seed, step, query, parameter name), and of nothing else.

A LoZO direction is Z = U V^T with U ~ N(0,1)^{out x r} fresh every step and V ~ N(0,1)^{in x r}
redrawn every interval (LoZO, arXiv 2410.07698, Algorithm 1). Each factor of each matrix has numbers of its
own, so that any runtime, in any order, draws the same, and the journal need not hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch

from engine.directions.keyed import TorchDirections
from engine.directions.philox import Normals
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
        """V of the interval that begins at `step`: (cols, rank) of every matrix, into `out`, flat and float32."""

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        """U of one query of one step: (rows, rank) of every matrix, into `out`, flat and float32."""


def directions(drawn: Drawn, matrices: Sequence[Matrix], rank: int, seed: int, device: torch.device) -> Directions:
    """Those of a run of ours."""
    kind = CounterDirections if drawn == "philox" else TorchDirections
    return kind(matrices, rank, seed, device)


class CounterDirections:
    """The same on every device."""

    def __init__(self, matrices: Sequence[Matrix], rank: int, seed: int, device: torch.device) -> None:
        self._u = Normals(seed, "u", [(m.name, m.rows * rank) for m in matrices], device)
        self._v = Normals(seed, "v", [(m.name, m.cols * rank) for m in matrices], device)

    def v_into(self, out: torch.Tensor, step: int) -> None:
        self._v.fill(out, step)

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        self._u.fill(out, step, query)


def views(flat: torch.Tensor, matrices: Sequence[Matrix], side: Literal["rows", "cols"]) -> list[torch.Tensor]:
    """The factors of each matrix, (rows or cols, rank), within a flat tensor of all."""
    lengths = [getattr(matrix, side) for matrix in matrices]
    rank = flat.numel() // max(1, sum(lengths))
    parts = flat.split([length * rank for length in lengths])
    return [part.view(length, rank) for part, length in zip(parts, lengths, strict=True)]
