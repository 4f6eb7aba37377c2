"""What the conventional loop asks of whatever moves, and which it is by a method's space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept
from engine.directions.low_rank import Drawn
from engine.directions.space import Space
from engine.models.weights import BaseWeights, Matrix, check_room_aside
from engine.updates.base import Rule

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Setting:
    """What moves depend on, besides the model."""

    space: Space
    rule: Rule
    seed: int
    fold: FoldMode
    drawn: Drawn
    experts: bool  # whether those of a mixture move
    scope: str  # linear, all or adapter


class Moves(Protocol):
    """Moves a transformers model, in place. Steps count from 0."""

    matrices: list[Matrix]

    def redraw(self, step: int) -> None:
        """Begin an interval."""

    def move(self, step: int, direction: int, scale: float) -> None:
        """+ scale Z(step, direction), which is taken back after a probe."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """As `engine.runtimes.base.Runtime.update`."""

    def update_kept(self) -> UpdateKept | None:
        """As there."""

    def start_anew(self, model: PreTrainedModel) -> None:
        """Forget what was learned; `model` has the weights of the files."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds."""

    def load(self, file: Any, step: int, began: int) -> None:
        """Take the state from an open checkpoint, as `engine.runtimes.base.Runtime.load_weights`."""

    def at_base(self, folder: Path) -> AbstractContextManager[None]:
        """As `engine.runtimes.base.Runtime.at_base`."""

    def merge(self, step: int) -> None:
        """Bring all that was learned into the model's weights, for an export; `step` is the next to be taken."""


def finite(scale: float, dtype: torch.dtype) -> float:
    """`scale`, or what it overflows to in this precision; torch refuses it as it is."""
    return scale if abs(scale) <= torch.finfo(dtype).max else math.copysign(math.inf, scale)


def read_base(folder: Path, matrices: Sequence[Matrix], weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put what the model's files hold into `weights`, (rows, cols) by name; returns what was there, on the host.

    Raises `UserError`, before anything is moved, where the files cannot be read or there is no memory.
    """
    base = BaseWeights(folder, matrices)
    check_room_aside(matrices, next(iter(weights.values())).dtype)
    aside = {}
    for name, weight in weights.items():
        aside[name] = weight.to("cpu", copy=True)
        weight.copy_(base.read(name))
    return aside
