"""The curves of a run, wherever they are looked at: its steps as columns, its evaluations, and what follows from both.

The cockpit fills them as it watches, the rest reads the records, and follows them as they grow.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from engine.errors import UserError
from engine.protocol.events import Eval
from engine.runs.best import best_evaluation, by_weight
from engine.runs.directory import RunDir
from engine.runs.journal import LineReader
from zotui.runs.steps import StepReader, Steps

Axis = Literal["step", "seconds", "tokens"]
"""What a curve stands over; seconds are those of the steps alone, and tokens those that they scored."""

AXES: tuple[Axis, ...] = get_args(Axis)

COLUMNS = (
    *("step", "loss", "loss_plus", "loss_minus", "projected_grad", "lr", "eps"),
    *("tokens", "seconds", "tokens_per_s", "total_tokens", "total_seconds", "update_kept", "update_cosine"),
)
"""What is exported of every step; seconds are measured, and the totals run up to the end of the step."""

AT_START = 10
"""Steps that the smoothed loss at the start is of: one of them alone says little."""

_UNITS: dict[Axis, list[tuple[float, str]]] = {
    "tokens": [
        (1e9, "tokens scored, billions"),
        (1e6, "tokens scored, millions"),
        (1e3, "tokens scored, thousands"),
        (1.0, "tokens scored"),
    ],
    "seconds": [
        (3600.0, "time of the steps, hours"),
        (60.0, "time of the steps, minutes"),
        (1.0, "time of the steps, seconds"),
    ],
    "step": [(1.0, "steps")],
}


class Curves(Steps):
    """The steps of a run, and its evaluations.

    Attributes: evaluations, of the validation split, one for each step at which there was one, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.evaluations: list[Eval] = []
        self._metrics: set[str] = set()
        self._smoothed = _SmoothedLoss(self, 1)

    def add_evaluation(self, evaluation: Eval) -> None:
        """Take an evaluation; one of another split is passed over, one of the same step replaced."""
        if evaluation.split != "validation":
            return
        at = bisect_left(self.evaluations, evaluation.step, key=lambda taken: taken.step)
        same = at < len(self.evaluations) and self.evaluations[at].step == evaluation.step
        self.evaluations[at : at + same] = [evaluation]
        self._metrics.update(evaluation.metrics)

    @property
    def metrics(self) -> list[str]:
        """What the evaluations measured, that which a run is judged by first."""
        return sorted(self._metrics, key=by_weight)

    def best(self, metric: str | None = None) -> Eval | None:
        """The best evaluation, or that with the best `metric`, by the rule of `engine.runs.best`."""
        return best_evaluation((taken for taken in self.evaluations if not metric or metric in taken.metrics), metric)

    def smoothed_loss(self, span: int) -> tuple[float | None, float | None]:
        """The loss of a step, smoothed over about `span` of them: of the first ten, and up to the newest."""
        if not self._smoothed.serves(span):
            self._smoothed = _SmoothedLoss(self, span)
        return self._smoothed.now()

    def over(self, axis: Axis) -> Sequence[float]:
        """Where each step lies: its number, or the seconds or tokens until its end."""
        return self.column("step" if axis == "step" else f"total_{axis}")

    def place(self, steps_done: int, axis: Axis) -> float:
        """Where the end of so many steps lies on an axis."""
        if axis == "step":
            return float(steps_done)
        taken = bisect_left(self.column("step"), steps_done)
        return self.column(f"total_{axis}")[taken - 1] if taken else 0.0

    def measured(self, metric: str, axis: Axis) -> tuple[list[float], list[float]]:
        """A metric of the evaluations, and where on an axis they were taken."""
        taken = [one for one in self.evaluations if metric in one.metrics]
        return [self.place(one.step, axis) for one in taken], [one.metrics[metric] for one in taken]


class _SmoothedLoss:
    """Follows the losses, so that only new ones cost anything."""

    def __init__(self, curves: Curves, span: int) -> None:
        self._curves, self._span, self._forgotten = curves, span, curves.forgotten
        self._mean, self._taken = RunningMean(span), 0
        self._at_start = math.nan

    def serves(self, span: int) -> bool:
        return self._span == span and self._forgotten == self._curves.forgotten

    def now(self) -> tuple[float | None, float | None]:
        losses = self._curves.column("loss")
        if self._taken < AT_START:
            self._mean.extend(losses[self._taken : AT_START])
            self._at_start, self._taken = self._mean.value, min(len(losses), AT_START)
        self._mean.extend(losses[self._taken :])
        self._taken = len(losses)
        at_start, newest = (value if math.isfinite(value) else None for value in (self._at_start, self._mean.value))
        return at_start, newest


class Columns(Curves):
    """What the journal and the evaluations of one run hold, as far as it was read.

    Attributes: fault, why the rest of the records cannot be read, or nothing.
    """

    def __init__(self, run: RunDir) -> None:
        super().__init__()
        self.run = run
        self.fault = ""
        self._begin()

    def _begin(self) -> None:
        self._steps = StepReader(self.run)
        self._evaluated = LineReader(self.run.evaluations_file, Eval)
        self.forget_from(0)
        self.evaluations.clear()
        self._metrics.clear()

    def refresh(self) -> bool:
        """Read what was added since; whether there was anything."""
        if self.fault:
            return False
        before = len(self), len(self.evaluations)
        try:
            self._read()
        except UserError:  # perhaps an engine has cut off a torn end that was half read here: from the start, then
            self._begin()
            try:
                self._read()
            except UserError as error:
                self.fault = str(error)
        return (len(self), len(self.evaluations)) != before or bool(self.fault)

    def _read(self) -> None:
        self._steps.read_into(self)
        for evaluation in self._evaluated.more():
            self.add_evaluation(evaluation)


def axis_unit(axis: Axis, reached: float) -> tuple[float, str]:
    """What an axis that goes that far is best divided by, and its name with the unit."""
    return next(((size, name) for size, name in _UNITS[axis] if reached >= 2 * size), _UNITS[axis][-1])


def smoothing_span(steps: int) -> int:
    """Over about how many steps the loss is smoothed: a twentieth of the run, within bounds."""
    return max(10, min(200, steps // 20))


class RunningMean:
    """The mean over about `span` values: exponential, unbiased from the first on; a span of 1 leaves them."""

    def __init__(self, span: float) -> None:
        self._retain = 1.0 - 2.0 / (span + 1)
        self._sum = self._weight = 0.0

    @property
    def value(self) -> float:
        """The mean so far; nan before the first finite value."""
        return self._sum / self._weight if self._weight else math.nan

    def extend(self, values: Iterable[float]) -> None:
        """Take values; what is not finite is passed over. As `add` does it, only that there may be very many."""
        kept, total, weight = self._retain, self._sum, self._weight
        for value in values:
            if math.isfinite(value):
                total, weight = kept * total + (1.0 - kept) * value, kept * weight + (1.0 - kept)
        self._sum, self._weight = total, weight

    def add(self, value: float, count: float = 1.0) -> float:
        """Take a value, or the mean of `count` of them, and return the mean; what is not finite is passed over."""
        if count and math.isfinite(value):
            kept = self._retain**count
            self._sum, self._weight = kept * self._sum + (1.0 - kept) * value, kept * self._weight + (1.0 - kept)
        return self.value


def smoothed(values: Sequence[float], span: float) -> list[float]:
    """The running mean at every value; see `RunningMean`."""
    mean = RunningMean(span)
    return [mean.add(value) for value in values]


def thinned(
    x: Sequence[float], y: Sequence[float], most: int, between: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[list[float], list[float]]:
    """At most about `most` evenly spread points of those that lie `between`, always with the newest; x ascends."""
    first, last = max(0, bisect_left(x, between[0]) - 1), min(len(x), bisect_left(x, between[1]) + 1)
    every = max(1, -(-(last - first) // max(1, most)))
    chosen = range(last - 1, first - 1, -every)[::-1]
    kept = [place for place in chosen if math.isfinite(y[place])]
    return [x[place] for place in kept], [y[place] for place in kept]
