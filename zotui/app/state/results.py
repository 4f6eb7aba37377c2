"""What a run's steps and evaluations say: its curves, its signal, the best so far and when it was reached."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.protocol.events import Eval, Step
from engine.runs.best import best_evaluation
from engine.runs.signal import Signal
from zotui.app.charts.series import Series
from zotui.app.state.curves import Curves
from zotui.app.state.history import Steps
from zotui.runs.columns import AT_START, RunningMean, smoothing_span


class Kept(NamedTuple):
    """How much of the intended update the run has at a step."""

    step: int
    update_kept: float
    update_cosine: float | None


class Results:
    """Steps and evaluations, watched or read from the records."""

    def __init__(self) -> None:
        self.done = 0  # steps
        self.curves, self.signal = Curves(), Signal()
        self.update_kept: Kept | None = None  # the newest
        self.worked = 0.0  # seconds in steps: start-up, evaluations and pauses are not in it
        self.reached: dict[int, float] = {}  # those seconds at every evaluation, by its step
        self.taken = 0  # steps that were
        self.loss_at_start: float | None = None  # smoothed over the first ten steps
        self.smooth_over(0)

    def smooth_over(self, steps: int) -> None:
        """The run is one of so many steps: smooth as suits that, unless there are losses already."""
        if not self.taken:
            self.span = smoothing_span(steps)  # steps that a curve is smoothed over, unless another level is chosen
            self._mean = RunningMean(self.span)

    @property
    def loss(self) -> float | None:
        """The loss of a step, smoothed up to the newest; None before the first."""
        return self._mean.value if math.isfinite(self._mean.value) else None

    def _take_losses(self, losses: list[float]) -> None:
        at_start = max(0, AT_START - self.taken)
        self._mean.extend(losses[:at_start])
        if at_start:
            self.loss_at_start = self.loss
        self._mean.extend(losses[at_start:])
        self.taken += len(losses)

    def take_step(self, step: Step) -> None:
        """Take a step."""
        self.done = max(self.done, step.step + 1)  # what was read comes after `Hello`, which counts it
        self.worked += step.seconds
        self._take_losses([step.loss])
        self.signal.add(
            loss_plus=step.loss_plus,
            loss_minus=step.loss_minus,
            projected_grad=step.projected_grad,
            lr=step.lr,
            update_kept=step.update_kept,
        )
        self.curves.add(step)
        if step.update_kept is not None:
            self.update_kept = Kept(step.step, step.update_kept, step.update_cosine)

    def take_steps(self, steps: Steps) -> None:
        """Take many steps at once."""
        if not len(steps):
            return
        self.done = max(self.done, int(steps.step[-1]) + 1)
        self.worked += float(np.nansum(steps.seconds))
        self.signal.extend(steps.loss_plus, steps.loss_minus, steps.projected_grad, steps.lr)
        self._take_losses(steps.loss.tolist())
        self.curves.extend(steps)
        told = np.flatnonzero(~np.isnan(steps.update_kept))
        if len(told):
            at = told[-1]
            kept, cosine = float(steps.update_kept[at]), float(steps.update_cosine[at])
            self.signal.kept(kept)
            self.update_kept = Kept(int(steps.step[at]), kept, None if math.isnan(cosine) else cosine)

    def take_evaluation(self, evaluation: Eval) -> None:
        """Take an evaluation of the validation split."""
        self.curves.evaluate(evaluation)
        self.reached.setdefault(evaluation.step, self.worked)

    @property
    def losses(self) -> Series:
        """The losses of the steps."""
        return self.curves.losses

    @property
    def smoothed_losses(self) -> list[float]:
        """The running mean of the losses."""
        return self.losses.smooth(self.span)

    @property
    def evaluations(self) -> dict[int, Eval]:
        """Of the validation split, by their steps."""
        return self.curves.evaluations

    @property
    def first_evaluation(self) -> Eval | None:
        """The earliest evaluation: before training, unless the records lack it."""
        return self.evaluations[min(self.evaluations)] if self.evaluations else None

    @property
    def last_evaluation(self) -> Eval | None:
        """The latest evaluation."""
        return self.evaluations[max(self.evaluations)] if self.evaluations else None

    def best(self, metric: str) -> Eval | None:
        """The evaluation with the best `metric`, by the rule of `engine.runs.best`; none before the first step."""
        taken = [one for _, one in sorted(self.evaluations.items()) if metric in one.metrics]
        found = best_evaluation(({"step": one.step, "metrics": one.metrics} for one in taken), metric)
        return self.evaluations[found["step"]] if found else None
