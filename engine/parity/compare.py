"""Two ways of taking the same steps, side by side: how far apart are they?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.parity.recording import FIGURES, Kind, RecordedStep
from engine.protocol.figures import ParityRow, ParitySummary

Figure = float | list[float]
"""A number, or one for every query."""


@dataclass(frozen=True)
class StepTaken:
    """One step as one side took it: its figures by the names that recordings have for them.

    Losses are in nats; the estimate is the projected gradient, or what else the update multiplies. `seconds` is None
    where it is not known.
    """

    losses: Mapping[str, Figure]
    estimate: Mapping[str, Figure]
    seconds: float | None = None


def two_sided(plus: float, minus: float, projected_grad: float, seconds: float | None = None) -> StepTaken:
    """A step of two probes."""
    return StepTaken({"loss_plus": plus, "loss_minus": minus}, {"projected_grad": projected_grad}, seconds)


def recorded_step(step: RecordedStep, kind: Kind) -> StepTaken:
    """A step as it was recorded."""
    losses, estimate = FIGURES[kind]
    return StepTaken({name: getattr(step, name) for name in losses}, {estimate: getattr(step, estimate)})


@dataclass(frozen=True)
class Pair:
    """One step of both sides."""

    step: int
    ours: StepTaken
    theirs: StepTaken

    @property
    def loss_diff(self) -> float:
        """The largest of the differences of all losses; infinite if a loss is not a number."""
        return _largest(self.ours.losses, self.theirs.losses)

    @property
    def grad_diff(self) -> float:
        """The largest of the differences of what the update multiplies."""
        return _largest(self.ours.estimate, self.theirs.estimate)

    @property
    def same_sign(self) -> bool:
        """Whether both would step the same way, in every query."""
        return all(a * b > 0 or a == b for a, b in _paired(self.ours.estimate, self.theirs.estimate))

    def row(self, steps: int) -> ParityRow:
        """The pair as it is printed, one of `steps`."""
        ours, theirs = ({**side.losses, **side.estimate} for side in (self.ours, self.theirs))
        return ParityRow(
            step=self.step,
            seconds=self.ours.seconds,
            reference_seconds=self.theirs.seconds,
            loss_diff=self.loss_diff,
            grad_diff=self.grad_diff,
            same_sign=self.same_sign,
            steps=steps,
            **ours,  # type: ignore[arg-type]
            **{f"reference_{name}": figure for name, figure in theirs.items()},  # type: ignore[arg-type]
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
    """What at least one pair comes to; `tolerance` is in nats, for every loss of a step."""
    estimates = [number for pair in pairs for figure in pair.theirs.estimate.values() for number in _each(figure)]
    rms = math.sqrt(math.fsum(number**2 for number in estimates) / len(estimates))
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


def _largest(ours: Mapping[str, Figure], theirs: Mapping[str, Figure]) -> float:
    differences = [abs(a - b) for a, b in _paired(ours, theirs)]
    return max(differences) if all(map(math.isfinite, differences)) else math.inf


def _paired(ours: Mapping[str, Figure], theirs: Mapping[str, Figure]) -> Iterator[tuple[float, float]]:
    for name, figure in theirs.items():
        yield from zip(_each(ours[name]), _each(figure), strict=True)


def _each(figure: Figure) -> list[float]:
    return figure if isinstance(figure, list) else [figure]
