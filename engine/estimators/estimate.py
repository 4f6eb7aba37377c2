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
    same examples. What is not finite gives what is not finite. Raises `ValueError` if there are not as many of both.
    """
    apart = 2 * eps if probing.sides == "two" else eps
    return tuple((p - m) / apart for p, m in zip(plus, minus, strict=True))
