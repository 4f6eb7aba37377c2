"""Which eps: large enough that the losses of a probe differ by more than noise, so small that they differ linearly.

The gradients of the same directions at eps and at eps / 2 tell how far from linear it is. Two-sided they are
g + c eps^2, so that they are 3/4 of the error at eps apart; one-sided g + (h / 2) eps, a half of it. Noise of a loss
difference, n (`engine.training.noise`), is an error of n / (2 eps), or n / eps. Both together, divided by the size of
g, are the relative error of a gradient:

    error(eps)^2 = (noise(eps)^2 + (k (|g(eps) - g(eps/2)|^2 - noise(eps)^2 - noise(eps/2)^2)_+) / |g(eps)|^2

with k = (4/3)^2 or 2^2 and |.| the root of the mean square over directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.estimators.probing import Sides
from engine.tune.probes import Looked

LADDER = tuple(2.0**power for power in range(-6, 5))
"""What the preset's eps is multiplied by; the smallest only serves to judge the one above it."""

OWN = (0.5, 1.0)
"""The same, of the preset's eps alone: where it is good no other is looked for."""

_GOOD = 0.1  # an error with which the preset's own eps stays
_LINEAR = 0.2  # truncation, relative, up to which curvature is measured with an eps


@dataclass(frozen=True)
class Scale:
    """What one eps comes to. error, truncation: relative; the latter two-sided, whatever the method does."""

    eps: float
    difference: float  # root of the mean square of L+ - L-
    error: float
    truncation: float


def scales(rungs: Sequence[Sequence[Looked]], noise: float, sides: Sides) -> list[Scale]:
    """Of each eps but the smallest; `rungs` are looks along the same directions, an eps twice that of the one before.

    noise: of the difference of a direction's two losses, in nats. Those with a loss that is not finite are left out.
    """
    found = []
    for below, here in pairwise(rungs):
        eps = here[0].eps
        two = _error(below, here, noise, "two")
        own = two if sides == "two" else _error(below, here, noise, "one")
        difference = _rms([plus - minus for one in here for plus, minus in zip(one.plus, one.minus, strict=True)])
        if all(map(math.isfinite, (*two, *own, difference))):
            found.append(Scale(eps, difference, math.hypot(*own), two[1]))
    return found


def is_good(found: Sequence[Scale]) -> bool:
    """Whether the last of them is, which stays then."""
    return bool(found) and found[-1].error <= _GOOD and found[-1].truncation <= _LINEAR


def choose(found: Sequence[Scale], preset: float) -> Scale | None:
    """The preset's own where its error is small, else that of the least; None if there is none."""
    own = [scale for scale in found if math.isclose(scale.eps, preset)]
    if own and own[0].error <= _GOOD:
        return own[0]
    return min(found, key=lambda scale: scale.error, default=None)


def for_curvature(found: Sequence[Scale]) -> Scale | None:
    """The largest at which losses are nearly quadratic: second differences drown in noise first."""
    linear = [scale for scale in found if scale.truncation <= _LINEAR]
    return max(linear, key=lambda scale: scale.eps, default=None)


def _error(below: Sequence[Looked], here: Sequence[Looked], noise: float, sides: Sides) -> tuple[float, float]:
    """Of noise and of truncation, each relative to the gradients."""
    small, large = (
        [g for one in some for g in (one.two_sided() if sides == "two" else one.one_sided())] for some in (below, here)
    )
    apart, factor = (2.0, 4 / 3) if sides == "two" else (1.0, 2.0)
    of_large, of_small = noise / (apart * here[0].eps), noise / (apart * below[0].eps)
    square = _rms([a - b for a, b in zip(large, small, strict=True)]) ** 2 - of_large**2 - of_small**2
    size = _rms(large)
    if not size:
        return math.inf, math.inf
    return of_large / size, factor * math.sqrt(max(0.0, square)) / size if math.isfinite(square) else math.inf


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))
