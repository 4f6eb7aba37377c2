"""What directions of a run are made of: all that their numbers depend on, besides seed, step, query and name."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from engine.preset.method import Method

Basis = Literal["gaussian", "rademacher", "orthonormal", "adapter"]


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Z = U V^T, or the factors of an adapter, or dense.

    coordinates: what is drawn for each query: U itself, (rows, rank); a core S, (rank, rank), of which U = P S with an
    orthonormal P; both factors of an adapter, (rows, rank) and (cols, rank); or every entry of a weight.
    basis: what V is made of; an adapter's is A, drawn once.
    scale: of V. Entries of U and V have the variance 1 else; columns of what is orthonormal the length 1. Of an
    adapter, what its product is multiplied by.
    """

    coordinates: Literal["u", "core", "factors", "dense"] = "u"
    basis: Basis = "gaussian"
    law: Literal["gaussian", "rademacher"] = "gaussian"
    rank: int = 2
    scale: float = 1.0

    @property
    def redrawn(self) -> bool:
        """Whether there is a basis that is redrawn every interval."""
        return self.coordinates != "dense" and self.basis != "adapter"

    @property
    def own_a(self) -> bool:
        """Whether every direction has a V of its own: where both factors of an adapter move."""
        return self.coordinates == "factors"

    @property
    def moves_weights(self) -> bool:
        """Whether the model's own weights move: not where an adapter beside them does."""
        return self.basis != "adapter"


def space_of(method: Method) -> Space:
    """That of a method."""
    rank = method.rank
    if method.direction == "dense":
        return Space(coordinates="dense", rank=1)
    if method.direction == "adapter":
        coordinates: Literal["u", "factors"] = "factors" if method.moves == "both" else "u"
        return Space(coordinates=coordinates, basis="adapter", rank=rank, scale=method.alpha / rank)
    if method.direction in ("subspace", "core"):
        return Space(coordinates="core" if method.direction == "core" else "u", basis="orthonormal", rank=rank)
    scale = 1 / math.sqrt(rank) if method.normalise == "rms" else 1.0
    return Space(basis=method.law, law=method.law, rank=rank, scale=scale)


def begins_interval(method: Method, step: int) -> bool:
    """Whether a basis is to be drawn before this step: once and for all where it is never redrawn."""
    return step % method.interval == 0 if space_of(method).redrawn else step == 0
