"""Directions drawn as the official LoZO trainer draws them, for the replay of recorded trajectories only.

Every pass over the parameters (three perturbations and an update in each step) starts from the step's
seed and draws in the order of the parameters: for a matrix, V on steps that begin an interval, then U;
for the rest a normal of the parameter's own shape.

The official LoZO update draws U without drawing V first, so that on those steps it applies another
direction than it probed. Our own methods do not; a replay must: here query 0 is what was probed, and
query 1 what the update applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import torch

from engine.models.facts import dtype_of
from engine.models.weights import Matrix

PROBED, APPLIED = 0, 1
"""The queries of a step."""


class OfficialRun(msgspec.Struct, frozen=True, kw_only=True):
    """All that the directions of a run of the official LoZO trainer follow from."""

    seeds: list[int]  # of every step
    parameters: list[tuple[str, list[int]]]  # (name, shape), in drawing order
    dtype: str
    rank: int
    interval: int


@dataclass(frozen=True)
class OfficialDrawn:
    """The direction of one parameter: u v^T, or dense."""

    u: torch.Tensor | None = None  # (rows, rank)
    v: torch.Tensor | None = None  # (cols, rank)
    dense: torch.Tensor | None = None

    def direction(self) -> torch.Tensor:
        """The direction itself, in the parameter's shape."""
        if self.dense is not None:
            return self.dense
        assert self.u is not None and self.v is not None
        return self.u @ self.v.T


class OfficialDraws:
    """What one run draws; its steps must come in order."""

    def __init__(self, run: OfficialRun) -> None:
        self._run = run
        self._dtype = dtype_of(run.dtype)
        self._v: dict[str, torch.Tensor] = {}
        self._held: tuple[int, int, dict[str, OfficialDrawn]] | None = None

    def directions(self, matrices: Sequence[Matrix]) -> OfficialDirections:
        """Those of some matrices, as methods ask for them."""
        return OfficialDirections(self, matrices)

    def draw(self, step: int, query: int) -> Iterator[tuple[str, OfficialDrawn]]:
        """One pass of a step over the parameters."""
        generator = torch.Generator().manual_seed(self._run.seeds[step])

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=self._dtype)

        rank, interval = self._run.rank, self._run.interval
        for name, shape in self._run.parameters:
            if len(shape) == 2:
                if step % interval == 0 and query == PROBED:
                    self._v[name] = normal(shape[1], rank)
                yield name, OfficialDrawn(u=normal(shape[0], rank), v=self._v[name])
            else:
                yield name, OfficialDrawn(dense=normal(*shape))

    def of(self, name: str, step: int, query: int) -> OfficialDrawn:
        """The same for one parameter; a pass is drawn as a whole and held until another is asked for."""
        if self._held is None or self._held[:2] != (step, query):
            self._held = (step, query, dict(self.draw(step, query)))
        return self._held[2][name]


class OfficialDirections:
    """A source of directions (see `engine.directions.low_rank.Directions`)."""

    def __init__(self, draws: OfficialDraws, matrices: Sequence[Matrix]) -> None:
        self._draws, self._matrices = draws, matrices

    def v_into(self, out: torch.Tensor, step: int) -> None:
        out.copy_(self._joined(self._draws.of(matrix.name, step, PROBED).v for matrix in self._matrices))

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        out.copy_(self._joined(self._draws.of(matrix.name, step, query).u for matrix in self._matrices))

    def _joined(self, factors: Iterable[torch.Tensor | None]) -> torch.Tensor:
        return torch.cat([factor.flatten() for factor in factors if factor is not None])
