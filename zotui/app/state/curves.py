"""Everything that a step or an evaluation can be drawn as: which series there are, and their numbers so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine.protocol.events import Eval, Step
from zotui.app.charts.series import Numbers, Series
from zotui.app.state.history import Steps
from zotui.text import numbers


@dataclass(frozen=True)
class Quantity:
    """A number that a run has over its steps: its title, how it is written, and how it is taken from steps.

    `take` is given `Steps`, or what has the same columns. Without it, it is the metric called `key` of the evaluations.
    """

    key: str
    title: str
    figure: Callable[[float], str]
    take: Callable[[Any], Numbers] | None = None
    smoothed: bool = True

    @property
    def metric(self) -> str:
        """What the evaluations call it, if it is of them."""
        return self.key.removeprefix("held-out ")


QUANTITIES = (
    Quantity("loss", "loss", numbers.loss, lambda s: s.loss),
    Quantity("difference", "|L+ − L−|", numbers.significant, lambda s: np.abs(s.loss_plus - s.loss_minus)),
    Quantity("gradient", "projected gradient |g|", numbers.significant, lambda s: np.abs(s.projected_grad)),
    Quantity("lr", "learning rate", numbers.significant, lambda s: s.lr, smoothed=False),
    Quantity("tokens_per_s", "tokens/s", numbers.count, lambda s: s.tokens_per_s),
    Quantity("tokens", "tokens of a step", numbers.count, lambda s: s.tokens),
    Quantity("seconds", "step time", numbers.brief, lambda s: s.seconds),
    Quantity("kept", "update kept", numbers.share, lambda s: s.update_kept, smoothed=False),
    Quantity("cosine", "update cosine", numbers.significant, lambda s: s.update_cosine, smoothed=False),
)


def metric(name: str) -> Quantity:
    """A metric of the evaluations as a quantity."""
    figure = {"accuracy": numbers.accuracy, "loss": numbers.loss}.get(name, numbers.significant)
    return Quantity(f"held-out {name}", f"held-out {name}", figure, smoothed=False)


def in_order(taken: Sequence[Quantity], metrics: Iterable[str]) -> list[Quantity]:
    """What there is to draw: the first of the steps' quantities, what the evaluations measured, then the rest."""
    return [taken[0], *map(metric, metrics), *taken[1:]]


class Drawn(NamedTuple):
    """What a chart draws of a quantity: extremes of every stretch, and the line through them."""

    x: Numbers
    low: Numbers
    high: Numbers
    line: Numbers


class Curves:
    """The series of a run: those of its steps, thinned, and its evaluations as they are."""

    def __init__(self) -> None:
        self._series = {one.key: Series() for one in QUANTITIES}
        self._new: list[Step] = []
        self.evaluations: dict[int, Eval] = {}
        self.metrics: list[str] = []  # in the order in which they were first seen, accuracy first

    def add(self, step: Step) -> None:
        """Take a step; its numbers are put in place once they are asked for."""
        self._new.append(step)
        if len(self._new) >= 1000:
            self._settle()

    def extend(self, steps: Steps) -> None:
        """Take many steps at once."""
        self._settle()
        for one in QUANTITIES:
            if one.take is not None:
                self._series[one.key].extend(steps.step, one.take(steps))

    def evaluate(self, evaluation: Eval) -> None:
        """Take an evaluation of the validation split."""
        self.evaluations[evaluation.step] = evaluation
        new = [name for name in evaluation.metrics if name not in self.metrics]
        if new:
            self.metrics = sorted([*self.metrics, *new], key=lambda name: (name != "accuracy", name != "loss"))

    def forget_from(self, step: int) -> None:
        """Drop the steps from `step` on, which are taken again."""
        self._settle()
        for series in self._series.values():
            series.forget_from(step)

    @property
    def losses(self) -> Series:
        """The losses of the steps."""
        return self.series("loss")

    def series(self, key: str) -> Series:
        """The numbers of one quantity of the steps."""
        self._settle()
        return self._series[key]

    def known(self) -> list[Quantity]:
        """The quantities that there is something of, the loss always."""
        self._settle()
        taken = [one for one in QUANTITIES if one.key == "loss" or self._series[one.key].taken]
        return in_order(taken, self.metrics)

    def drawn(self, quantity: Quantity, most: int, span: int, first: float, last: float) -> Drawn:
        """At most about `most` stretches between two steps, smoothed over `span` steps if that is 2 or more."""
        if quantity.take is None:
            return self._evaluated(quantity.metric, most)
        series = self.series(quantity.key)
        points = series.points(most, first, last)
        line = points.mean
        if quantity.smoothed and span > 1 and len(points.x):
            line = np.asarray(series.smooth(span))[points.last]
        return Drawn(points.x, points.low, points.high, line)

    def version(self, quantity: Quantity) -> int:
        """Grows with every number of a quantity."""
        return len(self.evaluations) if quantity.take is None else self.series(quantity.key).taken

    def _evaluated(self, name: str, most: int) -> Drawn:
        taken: list[tuple[int, Any]] = sorted(
            (step, one.metrics[name]) for step, one in self.evaluations.items() if name in one.metrics
        )
        taken = taken[-1 :: -max(1, -(-len(taken) // most))][::-1]
        x, y = (np.array(column, float) for column in zip(*taken, strict=True)) if taken else (np.zeros(0),) * 2
        return Drawn(x, y, y, y)

    def _settle(self) -> None:
        if self._new:
            new, self._new = self._new, []
            self.extend(Steps.watched(new))
