"""Two ways of taking the same steps, side by side: how far apart are they?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Taken:
    """One step as one side took it. Losses in nats; `seconds` is None where it is not known."""

    loss_plus: float
    loss_minus: float
    projected_grad: float
    seconds: float | None = None


@dataclass(frozen=True)
class Row:
    """One step of both sides."""

    step: int
    ours: Taken
    theirs: Taken

    @property
    def loss_diff(self) -> float:
        """The larger of the differences of the two losses; infinite if a loss is not a number."""
        plus = abs(self.ours.loss_plus - self.theirs.loss_plus)
        minus = abs(self.ours.loss_minus - self.theirs.loss_minus)
        return max(plus, minus) if math.isfinite(plus + minus) else math.inf

    @property
    def grad_diff(self) -> float:
        """Difference of the projected gradients."""
        return abs(self.ours.projected_grad - self.theirs.projected_grad)

    @property
    def same_sign(self) -> bool:
        """Whether both would step the same way."""
        return self.ours.projected_grad * self.theirs.projected_grad > 0 or self.grad_diff == 0


@dataclass(frozen=True)
class Summary:
    """What the rows come to."""

    steps: int
    max_loss_diff: float  # nats
    max_grad_rel_diff: float  # of the rms of their projected gradients
    sign_agreement: float  # share of steps, 0..1
    first_difference: int | None  # the first step beyond the tolerance
    ok: bool  # no step is


def summarise(rows: Iterable[Row], tolerance: float) -> Summary:
    """`tolerance` is in nats, for either loss of a step."""
    rows = list(rows)
    rms = math.sqrt(math.fsum(row.theirs.projected_grad**2 for row in rows) / len(rows))
    beyond = [row.step for row in rows if not row.loss_diff <= tolerance]
    largest = max(row.grad_diff for row in rows)
    return Summary(
        steps=len(rows),
        max_loss_diff=max(row.loss_diff for row in rows),
        max_grad_rel_diff=largest / rms if rms else (0.0 if largest == 0 else math.inf),
        sign_agreement=sum(row.same_sign for row in rows) / len(rows),
        first_difference=beyond[0] if beyond else None,
        ok=not beyond,
    )
