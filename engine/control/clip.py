"""Clipping by history: a gradient far larger than those before it is cut down to a multiple of their usual size.

    b = c median_s(median_d |g_s,d|) over the last 100 steps s and their directions d,   g <- max(-b, min(b, g))

The steps are those that led to the state: of what was taken back, nothing counts. What counts of a step are its
gradients as they were measured, before they were clipped. Nothing is clipped before there are 20 steps, nor where more
than half of them measured no difference at all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median

WINDOW = 100
"""Steps that are looked back on."""

LEAST = 20
"""Steps before anything is clipped."""


class History:
    """The sizes of the gradients of the last steps."""

    def __init__(self, steps: Iterable[Sequence[float]] = ()) -> None:
        """`steps`: the gradients of each, of all its directions, in their order."""
        self._sizes: deque[float] = deque(maxlen=WINDOW)
        for gradients in steps:
            self.add(gradients)

    def add(self, gradients: Sequence[float]) -> None:
        """Take the gradients of the next step."""
        self._sizes.append(median(map(abs, gradients)))

    def bound(self, clip: float) -> float:
        """How large a gradient may be in the step that comes, for `method.clip`; inf where nothing is clipped."""
        if not clip or len(self._sizes) < LEAST:
            return math.inf
        return clip * median(self._sizes) or math.inf


def clipped(gradients: Sequence[float], bound: float) -> tuple[float, ...]:
    """Each as it is, or at the bound, with its sign."""
    return tuple(max(-bound, min(bound, gradient)) for gradient in gradients)
