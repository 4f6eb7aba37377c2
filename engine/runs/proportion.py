"""How sure a share of so many examples is: Wilson's interval (1927), which stays between 0 and 1.

The mean of scores between 0 and 1 that are no mere right or wrong, as F1 is, has its interval, too, and is rather
surer: their variance is at most that of a share of the same size, m (1 - m) (Bhatia and Davis, 2000).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_GENERATED = ("f1", "exact_match")
SHARES = ("accuracy", *_GENERATED)
"""The metrics that are means of what each example has between 0 and 1, mostly one of the two."""

_Z = 1.959964  # of a normal distribution: 95% lie within so many standard deviations


def proportion_interval(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share, or of a mean score, 0..1, that was seen among `count` > 0 examples."""
    squared = _Z * _Z / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def intervals(metrics: Mapping[str, float], examples: int, generated: int) -> dict[str, tuple[float, float]]:
    """Those of the metrics that are shares: of so many examples, and where a text was generated of so many."""
    counts = {name: generated if name in _GENERATED else examples for name in SHARES}
    shares = {name: metrics[name] for name, count in counts.items() if name in metrics and count}
    return {name: proportion_interval(share, counts[name]) for name, share in shares.items()}
