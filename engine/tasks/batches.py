"""The order of a task's examples: the batch of each step.

Every epoch is a permutation of its own; a batch may span two epochs. A stratified one deals the labels out evenly: any
run of successive examples has them in the proportions of the data, to within one example where there are two labels,
two where there are more. So every example
still comes once an epoch, the mean gradient is the same, and what differs between labels, the larger part of what
single examples' gradients differ in where they share a direction, cancels (proportional allocation: Cochran, Sampling
Techniques, 5.5).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from engine.tasks.example import Example

if TYPE_CHECKING:
    from engine.preset.schema import Preset

Sampling = Literal["shuffled", "stratified"]


class Batches:
    """The batch of each step: a function of (seed, step) alone, so that a resumed run sees the same."""

    def __init__(self, examples: Sequence[Example], size: int, seed: int, sampling: Sampling = "shuffled") -> None:
        self._examples, self._size, self._seed, self._sampling = examples, size, seed, sampling
        self._orders: dict[int, Sequence[int]] = {}  # of the last epochs that were asked for

    @classmethod
    def of(cls, examples: Sequence[Example], preset: Preset) -> Batches:
        """Those of a preset's run."""
        return cls(examples, preset.run.batch_size, preset.run.seed, preset.method.sampling)

    def at(self, step: int) -> list[Example]:
        """The examples that a step scores, `size` of them."""
        count = len(self._examples)
        positions = range(step * self._size, (step + 1) * self._size)
        return [self._examples[self._order(p // count)[p % count]] for p in positions]

    def _order(self, epoch: int) -> Sequence[int]:
        if epoch not in self._orders:
            if len(self._orders) > 1:  # two meet in a batch; going back, as a ratchet does, is rare
                del self._orders[min(self._orders)]
            seed = f"{self._seed}/epoch/{epoch}"
            order: Sequence[int] = permutation(len(self._examples), seed)
            if self._sampling == "stratified":
                order = dealt(order, [example.label for example in self._examples], seed)
            self._orders[epoch] = order
        return self._orders[epoch]


def dealt(order: Sequence[int], labels: Sequence[int], seed: str) -> list[int]:
    """`order`, a permutation, dealt out so that labels alternate in proportion; those of one label keep their order.

    The j-th of n examples with a label goes to the share (j + u) / n of the epoch, u a chance number of the label's.
    """
    generator = random.Random(f"{seed}/dealt")
    of_label: dict[int, list[int]] = {}
    for index in order:
        of_label.setdefault(labels[index], []).append(index)
    shares: dict[int, float] = {}
    for label in sorted(of_label):
        begin, members = generator.random(), of_label[label]
        shares |= {index: (place + begin) / len(members) for place, index in enumerate(members)}
    return sorted(order, key=shares.__getitem__)


@lru_cache(maxsize=8)
def permutation(count: int, seed: str) -> tuple[int, ...]:
    """A permutation, by `random()` alone: it is what Python promises to keep the same across versions."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return tuple(sorted(range(count), key=keys.__getitem__))
