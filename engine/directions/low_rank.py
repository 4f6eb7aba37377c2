"""Random directions as a function of (seed, step, query, parameter name), and of nothing else.

A LoZO direction is Z = U V^T with U ~ N(0,1)^{out x r} fresh every step and V ~ N(0,1)^{in x r}
redrawn every interval (LoZO, arXiv 2410.07698, Algorithm 1). Each factor has a generator of its own,
so that any runtime, in any order, draws the same, and the journal need not hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.directions.keyed import keyed_generator
from engine.models.weights import Matrix


class Directions(Protocol):
    """A source of low-rank directions."""

    def v(self, matrix: Matrix, rank: int, step: int, device: torch.device) -> torch.Tensor:
        """V of the interval that begins at `step`: (cols, rank), float32."""

    def u_into(self, out: torch.Tensor, matrix: Matrix, step: int, query: int) -> None:
        """U of one query of one step, into `out`, contiguous and of (rows, rank) float32 elements."""


@dataclass(frozen=True)
class KeyedDirections:
    """Those of a run of ours."""

    seed: int

    def v(self, matrix: Matrix, rank: int, step: int, device: torch.device) -> torch.Tensor:
        return draw_v(matrix, rank, seed=self.seed, step=step, device=device)

    def u_into(self, out: torch.Tensor, matrix: Matrix, step: int, query: int) -> None:
        draw_u_into(out, matrix, seed=self.seed, step=step, query=query)


def draw_u(matrix: Matrix, rank: int, *, seed: int, step: int, query: int, device: torch.device) -> torch.Tensor:
    """U of one query of one step: (rows, rank), float32."""
    out = torch.empty(matrix.rows, rank, device=device)
    draw_u_into(out, matrix, seed=seed, step=step, query=query)
    return out


def draw_u_into(out: torch.Tensor, matrix: Matrix, *, seed: int, step: int, query: int) -> None:
    """The same, into `out`, contiguous and of as many float32 elements."""
    out.normal_(generator=keyed_generator(f"{seed}/u/{step}/{query}/{matrix.name}", out.device))


def draw_v(matrix: Matrix, rank: int, *, seed: int, step: int, device: torch.device) -> torch.Tensor:
    """V of the interval that begins at `step`: (cols, rank), float32."""
    generator = keyed_generator(f"{seed}/v/{step}/{matrix.name}", device)
    return torch.randn(matrix.cols, rank, generator=generator, device=device)
