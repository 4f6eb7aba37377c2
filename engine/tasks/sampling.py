"""Which rows of a split are taken: seeded samples, what is held out to validate on, and how MeZO draws its own."""

from __future__ import annotations

from collections.abc import Sequence

from engine.tasks.batches import permutation

FIXED_SEED = 0  # of what is evaluated, whatever the run's seed: runs with different seeds can be compared
_HELD_OUT = 0.1  # of the training data, when there is no validation split
_HELD_OUT_MOST = 1000


def sample(indices: Sequence[int], wanted: int | None, seed: int, split: str, *, as_mezo: bool) -> Sequence[int]:
    """A seeded sample of `wanted` of the indices, in their order; all of them if there are no more."""
    if wanted is None or wanted >= len(indices):
        return indices
    count = len(indices)
    order = _as_mezo(count, seed) if as_mezo else permutation(count, f"{seed}/sample/{split}")
    return sorted(indices[i] for i in order[:wanted])


def held_out(count: int) -> tuple[Sequence[int], Sequence[int]]:
    """What of `count` rows is trained on, and what is held out to validate on: a tenth, 1,000 at most."""
    held = max(1, min(_HELD_OUT_MOST, int(count * _HELD_OUT)))
    order = permutation(count, f"{FIXED_SEED}/held out")
    return sorted(order[held:]), sorted(order[:held])


def shots(count: int, wanted: int, *, as_mezo: bool) -> list[int]:
    """Demonstrations among `count` rows, in the order in which they are shown: the first of a permutation."""
    order = _as_mezo(count, FIXED_SEED) if as_mezo else permutation(count, f"{FIXED_SEED}/shots") if wanted else ()
    return list(order[:wanted])


def as_mezo(count: int, train: int, dev: int, seed: int) -> tuple[Sequence[int], Sequence[int]]:
    """What MeZO trains on and validates on: the first `train` and the next `dev` of one permutation of the train split.

    Where there are fewer rows those to validate on are still `dev`, but half of all at most. With another seed others
    are trained on; those to validate on are the same for every seed.
    """
    dev = min(dev, count // 2)
    held = set(_as_mezo(count, FIXED_SEED)[: train + dev][-dev:])
    return sorted([i for i in _as_mezo(count, seed) if i not in held][:train]), sorted(held)


def _as_mezo(count: int, seed: int) -> list[int]:
    """The permutation that MeZO draws by numpy's legacy generator, which numpy promises to keep the same."""
    import numpy

    return [int(i) for i in numpy.random.RandomState(seed % 2**32).permutation(count)]
