"""One step: directions are probed, their losses become an estimate, and the estimate moves the weights.

It knows no method by name, only the pieces that it is made of (`engine.methods`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import structs

from engine.control.clip import clipped
from engine.control.schedule import rate
from engine.directions.radii import radii
from engine.directions.space import begins_interval
from engine.errors import NotFinite, RunFailed
from engine.estimators.estimate import gradients
from engine.estimators.probing import Probing
from engine.estimators.weighting import weigh
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runtimes.base import Probe, Runtime, Upcoming
from engine.tasks import objective
from engine.tasks.example import Example

# float32 ends at 3.4e38, and an entry of U, which a coefficient is multiplied by, stays below ten.
_LARGEST_COEFFICIENT = 1e37


class Optimizer:
    """Drives a runtime, step by step; keeps no state of its own."""

    def __init__(self, method: Method, steps: int, task_objective: objective.Objective, seed: int = 0) -> None:
        """`seed`: of the run."""
        self.method = method
        self._steps, self._seed = steps, seed
        self._objective = task_objective

    def lr(self, step: int) -> float:
        """Learning rate of `step`, by the schedule."""
        return rate(self.method, step, self._steps)

    def step(
        self,
        runtime: Runtime,
        step: int,
        batch: Sequence[Example],
        upcoming: Sequence[Example] | None = None,
        *,
        bound: float = math.inf,
        returned_to: int | None = None,
    ) -> Step:
        """One step; `upcoming` is the batch of the next. Raises `NotFinite` before the update if a loss, a
        gradient or the update itself is not finite; `Runtime.abandon_probe` is then due.

        `bound`: to what size gradients are clipped; `returned_to`: the steps that led to the state, where it was
        returned to.
        """
        if self.redraws(step, returned_to):
            runtime.redraw(step)
        later = Upcoming(step + 1, upcoming) if upcoming is not None else None
        probing = probing_of(self.method, len(batch))
        if self.method.radius == "kernel":
            probing = structs.replace(probing, radii=radii(self._seed, step, probing.queries))
        probes = runtime.probe(step, probing, self.method.eps, batch, later)
        plus, minus = self._losses(batch, probes, probing)
        self._check_losses(step, plus, minus)
        found = gradients(plus, minus, self.method.eps, probing)
        lr, cut = self.lr(step), clipped(found, bound)
        self._check_update(step, found, cut, lr)
        runtime.update(step, weigh(self.method.weights, cut), lr)
        count = len(found)
        loss_plus, loss_minus = math.fsum(plus) / count, math.fsum(minus) / count
        return Step(
            step=step,
            loss=(loss_plus + loss_minus) / 2 if probing.sides == "two" else loss_minus,
            loss_plus=loss_plus,
            loss_minus=loss_minus,
            projected_grad=math.fsum(found) / count,
            lr=lr,
            eps=self.method.eps,
            losses_plus=tuple(plus) if count > 1 else (),
            losses_minus=tuple(minus) if count > 1 else (),
            weights=self.method.weights,
            clipped_at=bound if cut != found else None,
            returned_to=returned_to,
            radii=probing.radii,
            tokens=sum(probe.tokens for probe in probes),
        )

    def replay(self, runtime: Runtime, taken: Step) -> None:
        """Do a step of the journal again from its scalars; nothing is scored. Raises `RunFailed` if one is missing.

        What was weighed otherwise, or had more directions, before a fork is done as it was.
        """
        found = self.gradients_of(taken)
        if taken.clipped_at is not None:
            found = clipped(found, taken.clipped_at)
        if not all(map(math.isfinite, [*found, taken.lr, taken.eps])):
            raise RunFailed(f"step {taken.step} of the journal does not tell what is needed to do it again")
        if self.redraws(taken.step, taken.returned_to):
            runtime.redraw(taken.step)
        runtime.replay_probe(taken.step, _replayed(self.method, len(found), taken.radii), taken.eps)
        runtime.update(taken.step, weigh(taken.weights, found), taken.lr)

    def redraws(self, step: int, returned_to: int | None) -> bool:
        """Whether a step begins an interval: every so many do, and one after a return, which tries other directions."""
        return begins_interval(self.method, step) or returned_to is not None

    def settles(self, taken: Step) -> bool:
        """Whether a step, just taken, tells how much of the update was kept: after a fold, or now and then in place."""
        if self.method.direction == "dense":
            return taken.step > 0 and taken.step % self.method.interval == 0
        return self.redraws(taken.step, taken.returned_to)

    def gradients_of(self, taken: Step) -> Sequence[float]:
        """The gradients of a step on record, of each of its directions, as they were measured."""
        if taken.losses_plus:
            probing = _replayed(self.method, len(taken.losses_plus), taken.radii)
            return gradients(taken.losses_plus, taken.losses_minus, taken.eps, probing)
        return taken.gradients or (taken.projected_grad,)

    def _losses(
        self, batch: Sequence[Example], probes: Sequence[Probe], probing: Probing
    ) -> tuple[list[float], list[float]]:
        """Those of every direction, of the examples that it was scored with, on either side."""
        plus: list[float] = []
        minus: list[float] = []
        for probe in probes:
            for part in probing.shard_ranges(len(batch)):
                examples = batch[part.start : part.stop]
                for losses, scores in ((plus, probe.plus), (minus, probe.minus)):
                    losses.append(objective.loss(self._objective, examples, scores[part.start : part.stop]))
        return plus, minus

    def _check_losses(self, step: int, plus: Sequence[float], minus: Sequence[float]) -> None:
        """Raise `NotFinite` unless they are finite."""
        bad = [pair for pair in zip(plus, minus, strict=True) if not all(map(math.isfinite, pair))]
        if bad:
            other = "L-" if self.method.sides == "two" else "L0"
            text = f"the loss of step {step} is not a finite number (L+ {bad[0][0]:.4g}, {other} {bad[0][1]:.4g})"
            lower_eps = f"a smaller method.eps (now {self.method.eps:g})"
            # Before the first update the weights are the model's own: only the perturbation can be too large.
            raise _not_finite(text, [lower_eps, "model.dtype=float32"] + ([self._lower_lr] if step else []))

    def _check_update(self, step: int, found: Sequence[float], cut: Sequence[float], lr: float) -> None:
        """Raise `NotFinite` unless the gradients, and the update that they ask for once they are cut, are finite."""
        small = all(abs(lr * gradient) <= _LARGEST_COEFFICIENT for gradient in cut)
        if not (small and all(map(math.isfinite, found))):
            text = f"the update of step {step} is too large for a number (projected gradient {found[0]:.4g})"
            raise _not_finite(text, [self._lower_lr])

    @property
    def _lower_lr(self) -> str:
        return f"a lower method.lr (now {self.method.lr:g})"


def _not_finite(text: str, remedies: Sequence[str]) -> NotFinite:
    return NotFinite(f"{text}; nothing of it reached the weights; try {' or '.join(remedies)} in a new run")


def probing_of(method: Method, batch: int) -> Probing:
    """What a step of a method scores, with a batch of so many examples."""
    return Probing(queries=method.queries, shards=method.parts(batch), sides=method.sides)


def _replayed(method: Method, directions: int, told: tuple[float, ...]) -> Probing:
    """As many directions as a step on record has: a fork may have changed how many there are."""
    queries = len(told) or directions
    return Probing(queries=queries, shards=directions // queries, sides=method.sides, radii=told)
