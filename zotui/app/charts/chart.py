"""A chart of the house: a plot in a titled pane, redrawn only when it must be."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import ArrayLike
from textual.containers import Container
from textual.events import Resize
from textual_plot import NumericAxisFormatter

from zotui.app.charts.plot import Plot
from zotui.app.charts.series import Numbers
from zotui.app.charts.ticks import Ticks
from zotui.app.kit.frame import frame

DRAW_EVERY = 0.9
"""Seconds between two drawings that nobody asked for: what is dear to draw, and to send, is drawn once a second."""

LARGE = 500
"""Cells that are worth a second: a chart of so many is drawn every other one, of three times as many every fourth."""

_LEAST_ROWS = 4  # of a plot, its axis included
_STRAY = 2.0
"""How many times the range of nearly all values that of all may be, to be shown."""


class Chart(Container):
    """A titled pane with a plot. Subclasses draw; `refresh_curve` says when that is worth it."""

    DEFAULT_CSS = (
        frame("Chart", "$secondary", within=True)
        + """
    Chart { padding: 0; width: 1fr; height: 1fr; }
    Chart Plot { height: 1fr; }
    Chart Canvas { background: $surface; }
    """
    )

    def __init__(self, title: str, id: str, margin: int = 6) -> None:
        super().__init__(id=id)
        self.border_title = title
        self.plot = Plot(margin)
        self.draws = 0  # how often it was drawn, for those who watch its appetite
        self._drawn: object = None
        self._drawn_at = 0.0

    def on_mount(self) -> None:
        """Colours come from the theme: another theme is another drawing."""
        self.app.theme_changed_signal.subscribe(self, self._forget)

    def _forget(self, _: object) -> None:
        self._drawn = None

    def on_resize(self, _: Resize) -> None:
        """A frame with nothing in it says less than the title and the figure alone."""
        self.plot.display = self.content_size.height >= _LEAST_ROWS

    def due(self, version: object, *, now: bool = False) -> bool:
        """Whether it can be seen and would look different from what is drawn.

        Growth of the curve (another `version`) is drawn now and then only, unless `now`; another look at it at once.
        """
        wanted = (version, self.size, self.plot.size, self._look())
        if not self.display or not self.is_on_screen or wanted == self._drawn:
            return False
        time_now = time.monotonic()
        grown = isinstance(self._drawn, tuple) and self._drawn[1:] == wanted[1:]
        patience = min(3, self.size.area // LARGE) + DRAW_EVERY
        if grown and not now and time_now - self._drawn_at < patience:
            return False
        self._drawn, self._drawn_at = wanted, time_now
        self.draws += 1
        height = self.plot.size.height - 3
        self.plot.set_x_formatter(Ticks(max(2, min(10, self.plot.columns // 9)), whole=True))
        self.plot.set_y_formatter(self.y_ticks(max(1, min(8, height // 2))))
        return True

    def _look(self) -> object:
        """How the user looks at it: a change of that is drawn at once."""
        plot = self.plot
        return plot.view, plot.ranges if plot.zoomed else None, plot.cursor

    def y_ticks(self, most: int) -> NumericAxisFormatter:
        """What puts at most so many figures at the upright axis."""
        return Ticks(most)


def spread(values: ArrayLike, line: ArrayLike) -> tuple[float, float]:
    """A range that holds the line and nearly all of the values: one stray batch must not flatten it."""
    ordered, through = np.sort(_finite(values)), _finite(line)
    if not len(ordered) and not len(through):
        return 0.0, 1.0
    ordered = ordered if len(ordered) else np.sort(through)
    cut = len(ordered) // 50
    low = min(float(ordered[cut]), float(through.min(initial=ordered[cut])))
    high = max(float(ordered[-1 - cut]), float(through.max(initial=ordered[-1 - cut])))
    if len(ordered) and float(ordered[-1] - ordered[0]) <= _STRAY * (high - low):
        low, high = min(low, float(ordered[0])), max(high, float(ordered[-1]))
    size = max(abs(low), abs(high))
    # A flat curve has a range of rounding errors, and one that never moves none at all.
    room = max(0.05 * (high - low), 0.001 * size) if high - low > 1e-9 * size else 0.1 * size or 1.0
    return low - room, high + room


def _finite(values: ArrayLike) -> Numbers:
    found = np.asarray(values, float)
    return found[np.isfinite(found)]
