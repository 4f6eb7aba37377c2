"""What the gradients of a step's directions are weighed by, before directions are summed up.

plain      g_i
spread     g_i / s, s the standard deviation of all, with N - 1 as in FZOO's paper (arXiv 2506.09034; its code has N).
           One-sided, this is (L_i - L_0) / std(L), as that code has it; the paper divides by eps once more, which is a
           factor of the learning rate. GRZO (arXiv 2606.02857) does so with two-sided ones
centred    g_i less the mean of the others: leave-one-out (RLOO, as in LOREN; for one-sided losses it needs no L(W))
rank       the centred rank of g_i, from -0.5 to 0.5, that of ties averaged (evolution strategies, arXiv 1703.03864)

Sums are rounded once (`math.fsum`) and roots as IEEE 754 says, so that a journal's losses give the same bits anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

Weighting = Literal["plain", "spread", "centred", "rank"]

LEAST = 3
"""Directions that a weighting other than plain asks for: two say nothing of a spread, and their ranks but of a sign."""


def weigh(kind: Weighting, gradients: Sequence[float]) -> tuple[float, ...]:
    """The weighed gradients. All equal give zeros; if one is not finite, all are handed back as they are.

    Raises `ValueError` if there are fewer than `LEAST` and `kind` is not plain.
    """
    if kind == "plain":
        return tuple(gradients)
    if len(gradients) < LEAST:
        raise ValueError(f"{len(gradients)} gradients cannot be weighed by {kind}: it takes {LEAST}")
    if not all(map(math.isfinite, gradients)):
        return tuple(gradients)
    if min(gradients) == max(gradients):  # the rounding of their mean would be taken for a spread
        return (0.0,) * len(gradients)
    match kind:
        case "spread":
            return _by_spread(gradients)
        case "centred":
            return _centred(gradients)
        case "rank":
            return _ranks(gradients)


def _by_spread(gradients: Sequence[float]) -> tuple[float, ...]:
    # Times a power of two, so that squares neither overflow nor vanish: the quotients are the same.
    exponent = math.frexp(max(map(abs, gradients)))[1]
    scaled = [math.ldexp(gradient, -exponent) for gradient in gradients]
    mean = _mean(scaled)
    variance = math.fsum((value - mean) * (value - mean) for value in scaled) / (len(scaled) - 1)
    return tuple(value / math.sqrt(variance) for value in scaled)


def _centred(gradients: Sequence[float]) -> tuple[float, ...]:
    # g_i - (sum of the others) / (N - 1) = (g_i - mean) N / (N - 1)
    mean, count = _mean(gradients), len(gradients)
    return tuple((gradient - mean) * (count / (count - 1)) for gradient in gradients)


def _ranks(gradients: Sequence[float]) -> tuple[float, ...]:
    last = len(gradients) - 1
    ranks = [0.0] * len(gradients)
    first = 0
    for _, tied in groupby(sorted(range(len(gradients)), key=gradients.__getitem__), key=gradients.__getitem__):
        indices = list(tied)
        for index in indices:
            ranks[index] = (2 * first + len(indices) - 1 - last) / (2 * last)
        first += len(indices)
    return tuple(ranks)


def _mean(values: Sequence[float]) -> float:
    """Without an overflow on the way, however large they are."""
    return math.fsum(value / len(values) for value in values)
