"""What a step scores: how many directions, on which part of the batch, on one side of the weights or on both.

A query is a direction for the whole batch. A shard has a direction for a part of it alone: more directions, the tokens
of one (GRZO, arXiv 2606.02857, has one for every example; MobiZO's P-RGE one for every part). Where parts differ in
length, the mean over directions counts the examples of the short ones for more.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import msgspec

Sides = Literal["two", "one"]
"""Both sides of the weights, L(W + eps Z) and L(W - eps Z); or one, and the loss of the weights themselves."""


class Probing(msgspec.Struct, frozen=True, kw_only=True):
    """How the losses of a step come about."""

    queries: int = 1
    shards: int = 1
    sides: Sides = "two"
    radii: tuple[float, ...] = ()  # what eps is multiplied by for each query; none: 1

    @property
    def directions(self) -> int:
        """Directions of a step."""
        return self.queries * self.shards

    def distance(self, query: int, eps: float) -> float:
        """How far along its directions a query is scored."""
        return eps * self.radii[query] if self.radii else eps

    def shard_of(self, index: int, batch: int) -> int:
        """The shard of an example of a batch of so many: contiguous parts, whose lengths differ by one at most."""
        return index * self.shards // batch

    def shard_ranges(self, batch: int) -> tuple[range, ...]:
        """The examples of each shard. Raises `ValueError` if there are fewer examples than shards."""
        if batch < self.shards:
            raise ValueError(f"a batch of {batch} has no {self.shards} shards")
        ends = [-(-shard * batch // self.shards) for shard in range(self.shards + 1)]
        return tuple(range(start, end) for start, end in pairwise(ends))
