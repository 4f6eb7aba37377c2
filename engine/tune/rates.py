"""A first learning rate, from what the loss does along a few directions.

A step of D directions, W - lr mean_d w_d Z_d with w the weighed gradients, changes the loss over all data by about

    - lr mean_d w_d G_d + lr^2 / (2 D) mean_d w_d^2 h_d,   G_d = <grad L, Z_d>,  h_d = Z_d^T H Z_d

where what directions have to do with each other has the mean 0. That is least, and -mean(w G)^2 D / (2 mean(w^2 h)), at

    lr = D mean(w G) / (mean(w^2) mean(h))

(for plain descent D / mean(h), less by the share of g^2 that is not a batch's own noise; Nesterov and Spokoiny, 2017,
have the like for gaussian directions). G is measured with other batches than w, along the same directions, so that the
noise of batches does not count as slope; h is much the same along all directions, and its mean is taken.

Where queries probe at chance distances (KerZOO), w = K(r) r g for the r of a query, and G as it is: the probes here are
all at eps. E[K(r) r] = 1, so the slope stays; but E[(K(r) r)^2] = 25 / 4, and of a gradient's part that is noise of the
losses, n / (2 eps), which K(r) multiplies and r does not make smaller, E[K(r)^2] = 75 / 4 (`_KERNEL`, `_KERNEL_NOISE`):

    mean(w^2) = 25/4 (mean(g^2) - n^2 / (2 eps)^2) + 75/4 n^2 / (2 eps)^2

is up to so many times as large as without, and the rate smaller. A weighting that sets the size of w itself (spread,
rank) has the slope smaller by the root of that in place of w larger.

A rule that divides what it applies takes a rate that is larger by what it divides by, with s = rms(w) / sqrt(D) the
size of an entry of mean_d w_d U_d: adam-scalar by rms(w); Adam by s; msign, as an estimate is mostly noise, by
s sqrt(n) for coordinates of n rows, and where it has momentum by sqrt((1 - beta) / (1 + beta)) of that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from engine.estimators.weighting import weigh
from engine.preset.method import Method

# Over r uniform between -1 and 1, with K(r) = 15/4 r (5 - 7 r^2) (`engine.estimators.estimate`):
# E[(K r)^2] = (15/4)^2 E[25 r^4 - 70 r^6 + 49 r^8] = 225/16 (25/5 - 70/7 + 49/9), and
# E[K^2] = (15/4)^2 E[25 r^2 - 70 r^4 + 49 r^6] = 225/16 (25/3 - 70/5 + 49/7).
_KERNEL, _KERNEL_NOISE = 25 / 4, 75 / 4


@dataclass(frozen=True)
class FirstRate:
    """lr: None where it would be no finite number above 0. slope: mean(w G)."""

    lr: float | None
    gradient: float  # root of the mean square
    slope: float
    slope_error: float  # standard error
    curvature: float
    curvature_error: float


def first_rate(
    method: Method,
    gradients: Sequence[Sequence[Sequence[float]]],
    curvatures: Sequence[Sequence[float]],
    rows: float,
    noise: float = 0.0,
) -> FirstRate:
    """gradients: of each set of directions, on each batch, of each direction; curvatures: of each set, each direction.

    rows: of the coordinates of a matrix, on average; noise: of a gradient, by that of the losses. A slope that is less
    than its standard error cannot be told from 0, and counts as that; to a curvature its standard error is added.
    """
    weighed = [[weigh(method.weights, of_batch) for of_batch in of_set] for of_set in gradients]
    slopes = [_slope(ours, theirs) for ours, theirs in zip(weighed, gradients, strict=True)]
    squares = [w * w for of_set in weighed for of_batch in of_set for w in of_batch]
    plain = [g * g for of_set in gradients for of_batch in of_set for g in of_batch]
    bends = [statistics.fmean(of_set) for of_set in curvatures]
    slope, slope_error = _mean(slopes)
    curvature, curvature_error = _mean(bends)
    square, plain_square = statistics.fmean(squares), statistics.fmean(plain)
    if method.radius == "kernel":
        grown = _grown(noise * noise / plain_square) if plain_square else 1.0
        if method.weights in ("spread", "rank"):
            slope, slope_error = (value / math.sqrt(grown) for value in (slope, slope_error))
        else:
            square *= grown
    directions = len(gradients[0][0])
    below = square * (max(curvature, 0.0) + curvature_error)
    lr = directions * max(slope, slope_error) / below if below > 0 else 0.0
    lr *= _divided_by(method, math.sqrt(square), directions, rows)
    return FirstRate(
        lr if 0 < lr < math.inf else None,
        math.sqrt(plain_square), slope, slope_error, curvature, curvature_error,
    )  # fmt: skip


def _grown(share: float) -> float:
    """How many times larger a kernel makes the mean square of gradients, of which this share is noise of the losses."""
    share = min(share, 1.0)
    return _KERNEL * (1 - share) + _KERNEL_NOISE * share


def _divided_by(method: Method, size: float, directions: int, rows: float) -> float:
    """What the rule divides an estimate of such weights by; 1 for those that apply it as it is."""
    entry = size / math.sqrt(directions)
    match method.update:
        case "adam-scalar":
            return size
        case "adam":
            return entry
        case "msign":
            return entry * math.sqrt(rows) * math.sqrt((1 - method.momentum) / (1 + method.momentum))
        case _:
            return 1.0


def _slope(weighed: Sequence[Sequence[float]], gradients: Sequence[Sequence[float]]) -> float:
    """mean(w G) of a set of directions: each batch's weights by the gradients of the others."""
    batches = len(gradients)
    products = []
    for which, ours in enumerate(weighed):
        for direction, w in enumerate(ours):
            others = [gradients[other][direction] for other in range(batches) if other != which]
            products.append(w * statistics.fmean(others))
    return statistics.fmean(products)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
