"""How sure a share of so many examples is: Wilson's interval (1927), which stays between 0 and 1."""

from __future__ import annotations

import math

_Z = 1.959964  # of a normal distribution: 95% lie within so many standard deviations


def proportion_interval(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share, 0..1, that was seen among `count` > 0 examples."""
    squared = _Z * _Z / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)
