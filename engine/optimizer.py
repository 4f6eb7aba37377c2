"""One step: directions are probed, their losses become an estimate, and the estimate moves the weights.

It knows no method by name, only the pieces that it is made of (`engine.methods`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.control.schedule import rate
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

    def __init__(self, method: Method, steps: int, task_objective: objective.Objective) -> None:
        self.method = method
        self.probing = probing_of(method)
        self._steps = steps
        self._objective = task_objective

    def lr(self, step: int) -> float:
        """Learning rate of `step`, by the schedule."""
        return rate(self.method, step, self._steps)

    def step(
        self, runtime: Runtime, step: int, batch: Sequence[Example], upcoming: Sequence[Example] | None = None
    ) -> Step:
        """One step; `upcoming` is the batch of the next. Raises `NotFinite` before the update if a loss, a
        gradient or the update itself is not finite; `Runtime.abandon_probe` is then due.
        """
        if begins_interval(self.method, step):
            runtime.redraw(step)
        later = Upcoming(step + 1, upcoming) if upcoming is not None else None
        probes = runtime.probe(step, self.probing, self.method.eps, batch, later)
        plus, minus = self._losses(batch, probes)
        found = gradients(plus, minus, self.method.eps, self.probing)
        lr = self.lr(step)
        self._check(step, plus, minus, found, lr)
        self._update(runtime, step, found, lr)
        count = len(found)
        loss_plus, loss_minus = math.fsum(plus) / count, math.fsum(minus) / count
        return Step(
            step=step,
            loss=(loss_plus + loss_minus) / 2 if self.probing.sides == "two" else loss_minus,
            loss_plus=loss_plus,
            loss_minus=loss_minus,
            projected_grad=math.fsum(found) / count,
            lr=lr,
            eps=self.method.eps,
            losses_plus=tuple(plus) if count > 1 else (),
            losses_minus=tuple(minus) if count > 1 else (),
            tokens=sum(probe.tokens for probe in probes),
        )

    def replay(self, runtime: Runtime, taken: Step) -> None:
        """Do a step of the journal again from its scalars; nothing is scored. Raises `RunFailed` if one is missing."""
        found = self._estimated(taken)
        if not all(map(math.isfinite, [*found, taken.lr, taken.eps])):
            raise RunFailed(f"step {taken.step} of the journal does not tell what is needed to do it again")
        if begins_interval(self.method, taken.step):
            runtime.redraw(taken.step)
        runtime.replay_probe(taken.step, _replayed(self.probing, len(found)), taken.eps)
        self._update(runtime, taken.step, found, taken.lr)

    def _estimated(self, taken: Step) -> Sequence[float]:
        """The gradients of a step on record, of each of its directions."""
        if taken.losses_plus:
            return gradients(taken.losses_plus, taken.losses_minus, taken.eps, self.probing)
        return taken.gradients or (taken.projected_grad,)

    def _losses(self, batch: Sequence[Example], probes: Sequence[Probe]) -> tuple[list[float], list[float]]:
        """Those of every direction, of the examples that it was scored with, on either side."""
        plus: list[float] = []
        minus: list[float] = []
        for probe in probes:
            for part in self.probing.shard_ranges(len(batch)):
                examples = batch[part.start : part.stop]
                for losses, scores in ((plus, probe.plus), (minus, probe.minus)):
                    losses.append(objective.loss(self._objective, examples, scores[part.start : part.stop]))
        return plus, minus

    def _update(self, runtime: Runtime, step: int, found: Sequence[float], lr: float) -> None:
        runtime.update(step, weigh(self.method.weights, found), lr)

    def _check(
        self, step: int, plus: Sequence[float], minus: Sequence[float], found: Sequence[float], lr: float
    ) -> None:
        """Raise `NotFinite` unless the update that these losses ask for is made of finite numbers."""
        lower_eps = f"a smaller method.eps (now {self.method.eps:g})"
        lower_lr = f"a lower method.lr (now {self.method.lr:g})"
        bad = [pair for pair in zip(plus, minus, strict=True) if not all(map(math.isfinite, pair))]
        if bad:
            other = "L-" if self.probing.sides == "two" else "L0"
            text = f"the loss of step {step} is not a finite number (L+ {bad[0][0]:.4g}, {other} {bad[0][1]:.4g})"
            # Before the first update the weights are the model's own: only the perturbation can be too large.
            remedies = [lower_eps, "model.dtype=float32"] + ([lower_lr] if step else [])
        elif not all(abs(lr * gradient) <= _LARGEST_COEFFICIENT for gradient in found):
            text = f"the update of step {step} is too large for a number (projected gradient {found[0]:.4g})"
            remedies = [lower_lr]
        else:
            return
        raise NotFinite(f"{text}; nothing of it reached the weights; try {' or '.join(remedies)} in a new run")


def probing_of(method: Method) -> Probing:
    """What a step of a method scores."""
    return Probing(queries=method.queries, shards=method.shards, sides=method.sides)


def _replayed(probing: Probing, directions: int) -> Probing:
    """As many directions as a step on record has: a fork may have changed how many there are."""
    if directions == probing.directions:
        return probing
    return Probing(queries=directions, sides=probing.sides)
