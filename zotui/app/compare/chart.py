"""Several runs in one chart: a line each, with its number at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

import numpy as np
from textual.app import App, ComposeResult
from textual.content import Content
from textual_plot import NumericAxisFormatter, PlotWidget

from zotui.app.charts.chart import Chart
from zotui.app.charts.quantities import QUANTITIES, Quantity, in_order
from zotui.app.charts.ticks import LogTicks, Ticks
from zotui.runs.colours import colour
from zotui.runs.curves import AXES, Axis, Columns, axis_unit, smoothed, thinned

SPANS = (1, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Steps that a curve can be smoothed over."""

_APART = 6  # points of a line, about two to a column, from one number to the next


def quantities(runs: Sequence[Columns]) -> list[Quantity]:
    """What there is to draw of any of the runs, the loss always."""

    def there(one: Quantity) -> bool:
        return one.key == "loss" or any(run.newest(one.column) is not None for run in runs)

    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    return in_order([one for one in QUANTITIES if there(one)], metrics)


@dataclass(frozen=True)
class View:
    """How the curves are looked at."""

    axis: Axis = "step"
    quantity: int = 0  # its place among those that there are
    span: int = 50
    logarithmic: bool = False

    def next_axis(self) -> View:
        """Over the next of step, time and tokens."""
        return replace(self, axis=AXES[(AXES.index(self.axis) + 1) % len(AXES)])

    def smoother(self, by: int) -> View:
        """Smoothed over more steps, or fewer."""
        nearest = min(range(len(SPANS)), key=lambda place: abs(SPANS[place] - self.span))
        return replace(self, span=SPANS[max(0, min(len(SPANS) - 1, nearest + by))])


class CompareChart(Chart):
    """The same figure of several runs, over steps, time or tokens."""

    def __init__(self) -> None:
        super().__init__("", "compare-chart")
        self._view = View()
        self._seen = (-math.inf, math.inf)  # the part that was zoomed to

    def compose(self) -> ComposeResult:
        yield self.plot

    def y_ticks(self, most: int) -> NumericAxisFormatter:
        """The upright axis may be one of logarithms."""
        return LogTicks(most) if self._view.logarithmic else Ticks(most)

    def _look(self) -> object:
        return super()._look(), self._view

    def on_plot_widget_scale_changed(self, changed: PlotWidget.ScaleChanged) -> None:
        """Another part is looked at, which the next drawing gives all points to."""
        self._seen = (changed.x_min, changed.x_max)

    def whole(self) -> None:
        """Show all there is: what was zoomed to is another place now."""
        self.plot.action_whole()

    def refresh_curves(self, runs: Sequence[Columns], view: View) -> None:
        """Draw the runs if they, or the way they are looked at, changed."""
        plot, self._view = self.plot, view
        seen = self._seen if plot.zoomed else None
        # What moves a curve by less than half a column cannot be seen.
        grain = max(1, max(map(len, runs), default=0) // (2 * plot.columns))
        sizes = tuple((len(run) // grain, len(run.evaluations)) for run in runs)
        if not self.due(sizes):
            return
        known = quantities(runs)
        quantity = known[view.quantity % len(known)]
        reach = max((run.over(view.axis)[-1] for run in runs if len(run)), default=0.0)
        divisor, unit = axis_unit(view.axis, reach)
        self.border_title = Content(quantity.title + (", logarithmic" if view.logarithmic else ""))
        smooth = f"   smoothed over {view.span}" if self._smooths(quantity) else ""
        self.border_subtitle = f"{unit}{smooth}"
        between = (seen[0] * divisor, seen[1] * divisor) if seen else (-math.inf, math.inf)
        lines = [self._line(run, quantity, between, divisor) for run in runs]
        drawn = [value for _, values in lines for value in values]
        if not drawn:
            self.border_subtitle = "nothing to draw yet"
            plot.show_nothing()
            return
        plot.show_axes()
        plot.set_x_formatter(Ticks(max(2, min(10, plot.columns // 9)), whole=view.axis != "seconds"))
        low, high = min(drawn), max(drawn)
        room = max(0.06 * (high - low), 0.001 * abs(high), 1e-12)
        plot.set_ranges(plot.up_to(max(reach / divisor, 1e-9)), (low - room, high + room))
        for number, (places, values) in enumerate(lines):
            style = self._style(number)
            if len(values) > 1:
                plot.line(places, values, style)
            if not quantity.column and len(values) <= plot.columns // 4:
                plot.marks(places, values, "●", style)
        for number, (places, values) in enumerate(lines):  # over all lines: colours are not all that tells them apart
            if values:  # one before the other, since lines often end at the same place
                at = max(0, len(values) - 1 - number * (1 if not quantity.column else _APART))
                mark = str((number + 1) % 10)
                plot.marks(places[at : at + 1], values[at : at + 1], mark, self._style(number))

    def _smooths(self, quantity: Quantity) -> bool:
        return quantity.column != "" and quantity.smoothed and self._view.span > 1

    def _line(
        self, run: Columns, quantity: Quantity, between: tuple[float, float], divisor: float
    ) -> tuple[list[float], list[float]]:
        view = self._view
        if not quantity.column:
            places, values = run.measured(quantity.metric, view.axis)
        else:
            taken = np.array(run.column(quantity.column))
            known = np.isfinite(taken)  # some are told at folds only
            whole = taken[known].tolist()
            whole = smoothed(whole, view.span) if self._smooths(quantity) else whole
            over = np.array(run.over(view.axis), float)[known].tolist()
            places, values = thinned(over, whole, 2 * self.plot.columns, between)
        points = [(place / divisor, value) for place, value in zip(places, values, strict=True)]
        if view.logarithmic:
            points = [(place, log10(value)) for place, value in points if value > 0]
        return [place for place, _ in points], [value for _, value in points]

    def _style(self, number: int) -> str:
        return f"{curve_colour(self.app, number)} on {self.app.theme_variables['surface']}"


def curve_colour(app: App[Any], number: int) -> str:
    """Of the curve with that number, counted from 0: the theme's own, where it names colours for curves."""
    return app.theme_variables.get(f"curve-{number + 1}") or colour(number, app.current_theme.dark)
