"""Mean, spread and confidence interval of one figure over several runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_COVERED = 0.95


@dataclass(frozen=True)
class Spread:
    """One figure over runs that differ in their seed alone, in the figure's own unit.

    sd is the sample standard deviation (n - 1). ci95 is Student's interval for the mean,
    mean +- t sd / sqrt(n) with t the 97.5% quantile for n - 1 degrees of freedom: right for normal
    figures, and not cut off where a figure has bounds. A single run has neither.
    """

    mean: float
    sd: float | None
    ci95: tuple[float, float] | None
    values: list[float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one or more finite values."""
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean, None, None, list(values))
        sd = statistics.stdev(values)
        half = t_quantile(len(values) - 1) * sd / math.sqrt(len(values))
        return cls(mean, sd, (mean - half, mean + half), list(values))


def t_quantile(freedom: int, covered: float = _COVERED) -> float:
    """The t with P(|T| < t) = `covered` for Student's distribution with `freedom` >= 1 degrees of freedom."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:  # until the two are neighbours
        low, high = (middle, high) if _within(middle, freedom) < covered else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(theta: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(theta)): Abramowitz and Stegun 26.7.3 (odd) and 26.7.4 (even)."""
    odd = freedom % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= math.cos(theta) ** 2 * (k - 1) / k
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total
