"""What a run took until its validation loss reached a mark: tokens, and seconds of several kinds.

A run has reached it at the first evaluation that is at the mark or below. Nothing is interpolated: between two
evaluations the later one counts, a state that was measured and that can be exported, so that every figure is rather too
large than too small, by less than the steps between two evaluations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.protocol.events import Eval
from zotui.runs.curves import Columns

Standing = Literal["reached", "diverged", "failed", "budget", "end", "unfinished"]
"""How far it is: at the mark; worse than it began; not able to go on; out of tokens or minutes; all steps done; or none
of these, so that it is to go on."""

_DIVERGED = 2.0  # times the loss that it began with


@dataclass(frozen=True)
class Mark:
    """The validation loss to reach, in nats; and an accuracy (0..1), where one is asked for as well."""

    loss: float
    accuracy: float | None = None

    def met_by(self, metrics: dict[str, float]) -> bool:
        """Whether an evaluation is at the mark."""
        if not metrics.get("loss", math.inf) <= self.loss:
            return False
        return self.accuracy is None or metrics.get("accuracy", 0.0) >= self.accuracy


@dataclass(frozen=True)
class Budget:
    """What a run may take at most, of tokens scored in steps, and of minutes in steps."""

    tokens: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a run took until an evaluation, and what that measured.

    Seconds: training, of the steps; evaluations; whole, of both and of every start-up. Checkpoints and pauses are in
    none of them.
    """

    steps: int
    tokens: int
    training: float
    evaluations: float
    whole: float
    loss: float
    accuracy: float | None


def cost_until(run: Columns, evaluation: Eval) -> Cost:
    """Of a run, until one of its evaluations was taken."""
    step = evaluation.step
    training = run.place(step, "seconds")
    evaluations = sum(one.seconds for one in run.evaluations if one.step <= step)
    return Cost(
        steps=step,
        tokens=round(run.place(step, "tokens")),
        training=training,
        evaluations=evaluations,
        whole=run.run.info.read().time.get("start_up", 0.0) + training + evaluations,
        loss=evaluation.metrics["loss"],
        accuracy=evaluation.metrics.get("accuracy"),
    )


def reached(run: Columns, mark: Mark) -> Eval | None:
    """The first evaluation at the mark; None if there is none yet."""
    return next((one for one in run.evaluations if mark.met_by(one.metrics)), None)


def standing(run: Columns, mark: Mark | None, budget: Budget) -> Standing:
    """How far a run is by its records, which are read; without a mark it is to take all of its steps."""
    taken, info = run.evaluations, run.run.info.read()
    if mark is not None and reached(run, mark):
        return "reached"
    if info.state == "failed":
        return "failed"
    worse = taken and taken[-1].metrics.get("loss", 0.0) > _DIVERGED * taken[0].metrics.get("loss", 0.0)
    if mark is not None and worse:
        return "diverged"
    if taken and taken[-1].step >= info.steps:
        return "end"
    if mark is not None and len(run):
        tokens, minutes = run.column("total_tokens")[-1], run.column("total_seconds")[-1] / 60
        if tokens >= (budget.tokens or math.inf) or minutes >= (budget.minutes or math.inf):
            return "budget"
    return "unfinished"
