"""The two charts of a comparison: both curves, and a strip of how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from math import ceil, floor, log10

from textual.app import ComposeResult
from textual.markup import escape
from textual_plot import HiResMode, NumericAxisFormatter

from zotui.app.charts.chart import Chart, spread
from zotui.app.parity.state import Compared

LEAST = -17.0
"""The logarithm that stands for no difference at all: float64 tells none apart that is smaller."""

EDGE = 0.25
"""Of a decade, between the edge of the strip and what lies off its scale: at the edge itself nothing is drawn."""

MARK_EVERY = 4
"""Columns from one mark of the reference to the next: closer, they would hide the line that they lie on."""


class Powers(NumericAxisFormatter):
    """Ticks at powers of ten, for an axis of logarithms; `anchor` is among them if it can be."""

    def __init__(self, most: int, anchor: float) -> None:
        self.most = most
        self._anchor = round(anchor)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Whole logarithms inside the range, evenly spread."""
        first, last = ceil(min_ - 1e-9), floor(max_ + 1e-9)
        every = max(1, ceil((last - first + 1) / max(1, self.most)))
        return [float(power) for power in range(first, last + 1) if (power - self._anchor) % every == 0]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """As they are written elsewhere: `1e-7`."""
        return [f"1e{tick:.0f}" for tick in ticks]


class CurvesChart(Chart):
    """Ours over the reference, and marks of the latter: where they agree, the marks lie on our line."""

    def __init__(self, ours: str, theirs: str) -> None:
        super().__init__(f"loss   [$primary]━━[/] {escape(ours)}   [$accent]━•━[/] {escape(theirs)}", "curves")

    def compose(self) -> ComposeResult:
        yield self.plot

    def refresh_curve(self, compared: Compared, *, now: bool = False) -> None:
        """Draw both curves if they changed."""
        plot = self.plot
        if not self.due(version(compared, plot.columns), now=now):
            return
        steps, _, _, ours, _ = compared.ours.points(2 * plot.columns)
        their_steps, _, _, theirs, _ = compared.theirs.points(2 * plot.columns)
        if not len(ours) or not len(theirs):
            plot.show_nothing()
            return
        plot.show_axes()
        plot.set_ranges(plot.up_to(reach(compared)), spread(ours, theirs))
        reference = plot.style_of("plot--reference")
        plot.plot(their_steps, theirs, line_style=reference, hires_mode=HiResMode.BRAILLE)
        plot.plot(steps, ours, line_style=plot.style_of("plot--line"), hires_mode=HiResMode.BRAILLE)
        marks = slice(0, None, max(1, -(-MARK_EVERY * len(theirs) // reach_columns(compared, plot.columns))))
        plot.scatter(their_steps[marks], theirs[marks], marker="•", marker_style=reference)


class DeviationStrip(Chart):
    """The larger difference of a step's two losses, and the tolerance."""

    def __init__(self, tolerance: float) -> None:
        self._limit = _log(tolerance)
        super().__init__("largest difference of a loss, in nats", "deviation")

    def compose(self) -> ComposeResult:
        yield self.plot

    def y_ticks(self, most: int) -> NumericAxisFormatter:
        """The axis is one of logarithms."""
        return Powers(2 * most, self._limit)

    def refresh_curve(self, compared: Compared, *, now: bool = False) -> None:
        """Draw the differences if there are more."""
        plot = self.plot
        if not self.due(version(compared, plot.columns), now=now):
            return
        stretches = compared.apart.points(2 * plot.columns)
        points = list(zip(stretches.x.tolist(), stretches.high.tolist(), strict=True))
        if not points:
            plot.show_nothing()
            return
        self.border_subtitle = f"[$warning]╌╌[/] tolerance {compared.tolerance:g}"
        # No difference at all has no logarithm: it lies below all others, what is not finite above.
        known = [log10(value) for value in (compared.tolerance, *(v for _, v in points)) if 0 < value < math.inf]
        low, high = floor(min(known, default=LEAST) - 0.5), ceil(max(known, default=LEAST) + 0.5)
        plot.show_axes()
        ends = plot.up_to(reach(compared))
        plot.set_ranges(ends, (low, high))
        every_column = [ends[0] + (ends[1] - ends[0]) * n / (2 * plot.columns) for n in range(2 * plot.columns)]
        limit = [max(low + EDGE, self._limit)] * len(every_column)
        plot.scatter(every_column, limit, marker="╌", marker_style=plot.style_of("plot--limit"))
        drawn = [
            (step, max(low + EDGE, min(high - EDGE, _log(value))), compared.is_beyond(value)) for step, value in points
        ]
        mark, wrong = plot.style_of("plot--mark"), plot.style_of("plot--beyond")
        for beyond, stretch in groupby(drawn, key=lambda point: point[2]):
            steps, heights, _ = zip(*stretch, strict=True)
            if beyond:
                plot.scatter(steps, heights, marker="•", marker_style=wrong)
            elif len(steps) > 1:
                plot.plot(steps, heights, line_style=mark, hires_mode=HiResMode.BRAILLE)
            else:  # a line needs two
                plot.scatter(steps, heights, marker_style=mark, hires_mode=HiResMode.BRAILLE)


def version(compared: Compared, columns: int) -> object:
    """Changes when a drawing of so many columns would: by half a column, or when all is over."""
    over = compared.code is not None
    grain = 1 if over else max(1, compared.done // (2 * columns))
    return compared.done // grain, grain, over


def reach(compared: Compared) -> float:
    """The last step that the axis shows: all that will come, where that is known."""
    return max(compared.done, compared.steps, 10)


def reach_columns(compared: Compared, columns: int) -> int:
    """How many of the columns the curves take so far."""
    return max(1, round(columns * compared.done / reach(compared)))


def _log(value: float) -> float:
    return log10(value) if value > 0 else LEAST
