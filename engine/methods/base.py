"""What every method shares: the result of a step, and when it may not count."""

from __future__ import annotations

import math
from dataclasses import dataclass

# float32 ends at 3.4e38, and an entry of U, which a coefficient is multiplied by, stays below ten.
_LARGEST_COEFFICIENT = 1e37


@dataclass(frozen=True)
class StepResult:
    """The scalars of a step: with the run's seed, all that is needed to do it again."""

    step: int
    loss_plus: float
    loss_minus: float
    gradients: tuple[float, ...]  # projected gradient of every query
    lr: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean of the two probes, averaged over the queries."""
        return (self.loss_plus + self.loss_minus) / 2

    @property
    def projected_grad(self) -> float:
        """Mean of the queries' projected gradients."""
        return math.fsum(self.gradients) / len(self.gradients)
