"""What a run's steps and evaluations say: its curves, its signal, the best so far and when it was reached."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.protocol.events import Eval, Step
from engine.runs.signal import Signal
from zotui.app.charts.quantities import Drawings
from zotui.app.charts.series import Series
from zotui.runs.curves import Curves, smoothing_span
from zotui.runs.steps import Steps


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
        self.drawings = Drawings(self.curves)
        self.smooth_over(0)

    def smooth_over(self, steps: int) -> None:
        """The run is one of so many steps: smooth as suits that, unless there are losses already."""
        if not self.taken:
            self.span = smoothing_span(steps)  # steps that a curve is smoothed over, unless another level is chosen

    @property
    def taken(self) -> int:
        """Steps that are known."""
        return len(self.curves)

    @property
    def loss(self) -> float | None:
        """The loss of a step, smoothed up to the newest; None before the first."""
        return self.curves.smoothed_loss(self.span)[1]

    @property
    def loss_at_start(self) -> float | None:
        """The same over the first ten steps."""
        return self.curves.smoothed_loss(self.span)[0]

    def take_step(self, step: Step) -> None:
        """Take a step."""
        self.done = max(self.done, step.step + 1)  # what was read comes after `Hello`, which counts it
        self.signal.add(step)
        self.curves.add(step)

    def take_steps(self, steps: Steps) -> None:
        """Take many steps at once."""
        if not len(steps):
            return
        self.done = max(self.done, int(steps.column("step")[-1]) + 1)
        told = ("loss_plus", "loss_minus", "projected_grad", "lr")
        self.signal.extend(*(np.array(steps.column(name), float) for name in told))
        if (at := steps.newest("update_kept")) is not None:
            self.signal.kept(steps.column("update_kept")[at])
        self.curves.join(steps)

    def take_evaluation(self, evaluation: Eval) -> None:
        """Take an evaluation of the validation split."""
        self.curves.add_evaluation(evaluation)

    def reached(self, step: int) -> float:
        """Seconds of the steps until so many were done: start-up, evaluations and pauses are not in them."""
        return self.curves.place(step, "seconds")

    @property
    def update_kept(self) -> Kept | None:
        """The newest figure of how much of the intended update there is."""
        at = self.curves.newest("update_kept")
        if at is None:
            return None
        step, kept, cosine = (self.curves.column(name)[at] for name in ("step", "update_kept", "update_cosine"))
        return Kept(int(step), kept, None if math.isnan(cosine) else cosine)

    @property
    def losses(self) -> Series:
        """The losses of the steps as they are drawn, of a long run a few together."""
        return self.drawings.series("loss")

    @property
    def smoothed_losses(self) -> list[float]:
        """The running mean of the losses."""
        return self.losses.smooth(self.span)

    @property
    def evaluations(self) -> list[Eval]:
        """Of the validation split, in the order of their steps."""
        return self.curves.evaluations

    @property
    def first_evaluation(self) -> Eval | None:
        """The earliest evaluation: before training, unless the records lack it."""
        return self.evaluations[0] if self.evaluations else None

    @property
    def last_evaluation(self) -> Eval | None:
        """The latest evaluation."""
        return self.evaluations[-1] if self.evaluations else None

    def best(self, metric: str | None = None) -> Eval | None:
        """The best evaluation, or that with the best `metric`; the one of the model as it came is among them."""
        return self.curves.best(metric)
