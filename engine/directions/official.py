"""Directions drawn as the official trainers draw them, for the replay of recorded trajectories only.

Every pass over the parameters (three perturbations and an update in each step) starts from the step's
seed and draws in the order of the parameters: LoZO, for a matrix, V on steps that begin an interval,
then U; MeZO, and LoZO for what is no matrix, a normal of the parameter's own shape.

The official LoZO update draws U without drawing V first, so that on those steps it applies another
direction than it probed. Our own methods do not; a replay must.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.models.facts import dtype_of
from engine.parity.recording import Trajectory

_NOT_DECAYED = ("bias", "layer_norm", "layernorm")  # in a parameter's name


@dataclass(frozen=True)
class Drawn:
    """The direction of one parameter: u v^T, or dense."""

    name: str
    u: torch.Tensor | None = None  # (rows, rank)
    v: torch.Tensor | None = None  # (cols, rank)
    dense: torch.Tensor | None = None

    def direction(self) -> torch.Tensor:
        """The direction itself, in the parameter's shape."""
        if self.dense is not None:
            return self.dense
        assert self.u is not None and self.v is not None
        return self.u @ self.v.T


class RecordedDraws:
    """Draws for one trajectory, whose steps must be taken in order."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory = trajectory
        self._dtype = dtype_of(trajectory.dtype)
        self._v: dict[str, torch.Tensor] = {}
        self._held: tuple[int, bool, dict[str, Drawn]] | None = None

    def draw(self, step: int, *, update: bool) -> Iterator[Drawn]:
        """One pass of a step over the parameters: a perturbation, or the update."""
        method = self.trajectory.method
        generator = torch.Generator().manual_seed(self.trajectory.steps[step].seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=self._dtype)

        for name, shape in self.trajectory.parameters:
            if method.family == "lozo" and len(shape) == 2:
                assert method.rank and method.interval
                if step % method.interval == 0 and not update:
                    self._v[name] = normal(shape[1], method.rank)
                yield Drawn(name, u=normal(shape[0], method.rank), v=self._v[name])
            else:
                yield Drawn(name, dense=normal(*shape))

    def of(self, name: str, step: int, *, update: bool) -> Drawn:
        """The same for one parameter; a pass is drawn as a whole and held until another is asked for."""
        if self._held is None or self._held[:2] != (step, update):
            self._held = (step, update, {drawn.name: drawn for drawn in self.draw(step, update=update)})
        return self._held[2][name]


def decayed(name: str) -> bool:
    """Whether the official trainers' weight decay applies to a parameter."""
    return not any(part in name for part in _NOT_DECAYED)
