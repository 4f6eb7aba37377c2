"""Everything that a step or an evaluation can be drawn as: which series there are, and what a chart draws of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zotui.app.charts.series import Numbers, Series
from zotui.runs.curves import Curves
from zotui.text import numbers


@dataclass(frozen=True)
class Quantity:
    """A number that a run has over its steps: its title, how it is written, and which column of the steps it is.

    Without a column, it is the metric called `key` of the evaluations.
    """

    key: str
    title: str
    figure: Callable[[float], str]
    column: str = ""
    smoothed: bool = True

    @property
    def metric(self) -> str:
        """What the evaluations call it, if it is of them."""
        return self.key.removeprefix("held-out ")


QUANTITIES = (
    Quantity("loss", "loss", numbers.loss, "loss"),
    Quantity("difference", "|L+ − L−|", numbers.significant, "difference"),
    Quantity("gradient", "projected gradient |g|", numbers.significant, "gradient"),
    Quantity("spread", "spread of the probes", numbers.significant, "spread"),
    Quantity("lr", "learning rate", numbers.significant, "lr", smoothed=False),
    Quantity("tokens_per_s", "tokens/s", numbers.count, "tokens_per_s"),
    Quantity("tokens", "tokens of a step", numbers.count, "tokens"),
    Quantity("seconds", "step time", numbers.brief, "seconds"),
    Quantity("kept", "update kept", numbers.share, "update_kept", smoothed=False),
    Quantity("cosine", "update cosine", numbers.significant, "update_cosine", smoothed=False),
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


class Drawings:
    """What is drawn of a run's curves: of its steps thinned series, made as they are asked for, of the rest all."""

    def __init__(self, curves: Curves) -> None:
        self._curves = curves
        self._series: dict[str, Series] = {}
        self._done: dict[str, int] = {}  # steps that a series has
        self._forgotten = curves.forgotten

    def series(self, column: str) -> Series:
        """The numbers of one column of the steps."""
        if self._forgotten != self._curves.forgotten:
            self._series, self._done, self._forgotten = {}, {}, self._curves.forgotten
        series = self._series.setdefault(column, Series())
        done = self._done.get(column, 0)
        if done < len(self._curves):
            # Slices are copies: numpy must not hold on to columns that grow.
            series.extend(self._curves.column("step")[done:], self._curves.column(column)[done:])
            self._done[column] = len(self._curves)
        return series

    def known(self) -> list[Quantity]:
        """The quantities that there is something of, the loss always."""
        told = [one for one in QUANTITIES if one.key == "loss" or self._curves.newest(one.column) is not None]
        return in_order(told, self._curves.metrics)

    def drawn(self, quantity: Quantity, most: int, span: int, first: float, last: float) -> Drawn:
        """At most about `most` stretches between two steps, smoothed over `span` steps if that is 2 or more."""
        if not quantity.column:
            return self._evaluated(quantity.metric, most)
        series = self.series(quantity.column)
        points = series.points(most, first, last)
        line = points.mean
        if quantity.smoothed and span > 1 and len(points.x):
            line = np.asarray(series.smooth(span))[points.last]
        return Drawn(points.x, points.low, points.high, line)

    def version(self, quantity: Quantity) -> int:
        """Grows with every number of a quantity."""
        return self.series(quantity.column).taken if quantity.column else len(self._curves.evaluations)

    def _evaluated(self, name: str, most: int) -> Drawn:
        steps, values = self._curves.measured(name, "step")
        every = slice(None, None, -max(1, -(-len(steps) // most)))  # always with the newest
        x, y = (np.array(column[every][::-1], float) for column in (steps, values))
        return Drawn(x, y, y, y)
