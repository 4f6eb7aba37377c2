"""The order of a task's examples: the batch of each step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from engine.tasks.example import Example


def batch(examples: Sequence[Example], step: int, batch_size: int, seed: int) -> list[Example]:
    """The batch of a step: a function of (seed, step) alone, so that a resumed run sees the same.

    Every epoch is a permutation of its own; a batch may span two epochs.
    """
    count = len(examples)
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [examples[permutation(count, f"{seed}/epoch/{p // count}")[p % count]] for p in positions]


@lru_cache(maxsize=8)
def permutation(count: int, seed: str) -> tuple[int, ...]:
    """A permutation, by `random()` alone: it is what Python promises to keep the same across versions."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return tuple(sorted(range(count), key=keys.__getitem__))
