"""Two ways of taking the same steps, side by side: how far apart are they?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.protocol.figures import ParityRow, ParitySummary


@dataclass(frozen=True)
class StepTaken:
    """One step as one side took it. Losses in nats; `seconds` is None where it is not known."""

    loss_plus: float
    loss_minus: float
    projected_grad: float
    seconds: float | None = None


@dataclass(frozen=True)
class Pair:
    """One step of both sides."""

    step: int
    ours: StepTaken
    theirs: StepTaken

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

    def row(self, steps: int) -> ParityRow:
        """The pair as it is printed, one of `steps`."""
        return ParityRow(
            step=self.step,
            loss_plus=self.ours.loss_plus,
            loss_minus=self.ours.loss_minus,
            projected_grad=self.ours.projected_grad,
            seconds=self.ours.seconds,
            reference_loss_plus=self.theirs.loss_plus,
            reference_loss_minus=self.theirs.loss_minus,
            reference_projected_grad=self.theirs.projected_grad,
            reference_seconds=self.theirs.seconds,
            loss_diff=self.loss_diff,
            grad_diff=self.grad_diff,
            same_sign=self.same_sign,
            steps=steps,
        )


def summarise(
    pairs: Sequence[Pair],
    tolerance: float,
    *,
    runtime: str,
    reference: str,
    family: str = "",
    scope: str = "",
    objective: str = "",
) -> ParitySummary:
    """What at least one pair comes to; `tolerance` is in nats, for either loss of a step."""
    rms = math.sqrt(math.fsum(pair.theirs.projected_grad**2 for pair in pairs) / len(pairs))
    beyond = [pair.step for pair in pairs if not pair.loss_diff <= tolerance]
    largest = max(pair.grad_diff for pair in pairs)
    return ParitySummary(
        steps=len(pairs),
        max_loss_diff=max(pair.loss_diff for pair in pairs),
        max_grad_rel_diff=largest / rms if rms else (0.0 if largest == 0 else math.inf),
        sign_agreement=sum(pair.same_sign for pair in pairs) / len(pairs),
        first_difference=beyond[0] if beyond else None,
        ok=not beyond,
        tolerance=tolerance,
        runtime=runtime,
        reference=reference,
        family=family,
        scope=scope,
        objective=objective,
    )
