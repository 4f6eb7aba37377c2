"""The derivative of the loss along each direction, from finite differences (SPSA; MeZO, arXiv 2305.17333).

two sides   g = (L(W + eps Z) - L(W - eps Z)) / (2 eps)
one side    g = (L(W + eps Z) - L(W)) / eps, with L(W) of the same examples, one for all queries (FZOO, ZO-Muon)

The two-sided one has no error of the order of eps; the one-sided one scores half as many copies when queries are many.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.estimators.probing import Probing


def gradients(plus: Sequence[float], minus: Sequence[float], eps: float, probing: Probing) -> tuple[float, ...]:
    """The gradient of each direction, in loss per unit of it.

    plus: the loss at +eps of each direction; minus: that at -eps, or, one-sided, that of the weights themselves on the
    same examples. With radii (KerZOO), each is weighed by K(r) of its query's. What is not finite gives what is not
    finite. Raises `ValueError` if there are not as many of both.
    """
    apart = 2 * eps if probing.sides == "two" else eps
    found = tuple((p - m) / apart for p, m in zip(plus, minus, strict=True))
    if not probing.radii:
        return found
    shards = len(found) // len(probing.radii)
    return tuple(kernel(probing.radii[index // shards]) * gradient for index, gradient in enumerate(found))


def kernel(r: float) -> float:
    """K(r) = 15/4 r (5 - 7 r^2): over r between -1 and 1, the mean of K(r) r is 1, and that of K(r) r^3 is 0."""
    return 15 / 4 * r * (5 - 7 * r * r)
