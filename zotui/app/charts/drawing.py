"""textual-plot's widget, drawn otherwise: curves in braille all at once, thin axes, and only what changed is painted.

Here is all that we do to the library, by what it offers in public, save for two looks inside. It tells what part it
shows in messages only, which come later (`Drawing.ranges`); and a canvas tells what is in it cell by cell only, or in
rows as they are painted, which takes longer than all the drawing (`RowCanvas.batch_refresh`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from textual.app import ComposeResult, RenderResult
from textual.containers import Grid
from textual.geometry import Region, Size
from textual.widget import Widget
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import PlotWidget

from zotui.app.charts.braille import Dots
from zotui.app.charts.series import Numbers

_THIN = {"━": "─", "┳": "┬", "┃": "│", "┫": "┤"}  # of the library's heavy box, at its lower and its left side


@dataclass(frozen=True)
class Trace:
    """Points that are drawn in one way."""

    x: Numbers
    y: Numbers
    style: str
    sign: str = ""  # a character for each; without one they are dots
    line: bool = False  # the points are joined


class RowCanvas(Canvas):
    """A canvas that has those rows painted which a drawing changes: the library's has all, for every character."""

    def __init__(self, width: int, height: int, **more: Any) -> None:
        self.drawn_size = Size(width, height)
        self._drawing = False
        self._rows: list[tuple[list[str], list[str]]] = []  # as they were drawn last
        super().__init__(width, height, **more)

    def reset(self, size: Size | None = None, refresh: bool = True) -> None:
        """Begin anew, in another size or the one that it was."""
        self.drawn_size = size or self.drawn_size
        super().reset(size, refresh)

    def refresh(self, *regions: Region, **how: Any) -> RowCanvas:
        """Paint it next, unless it is being drawn on."""
        return self if self._drawing else super().refresh(*regions, **how)

    @contextmanager
    def batch_refresh(self) -> Iterator[None]:
        """Draw, and have painted what is other than before."""
        self._drawing = True
        try:
            yield
        finally:
            self._drawing = False
        before, self._rows = self._rows, list(zip(self._buffer, self._styles, strict=True))
        rows = [row for row, cells in enumerate(self._rows) if row >= len(before) or cells != before[row]]
        if rows:
            self.refresh(*(Region(0, row, self.size.width, 1) for row in rows))


class Drawing(PlotWidget):
    """Traces between two thin axes."""

    def __init__(self) -> None:
        super().__init__()
        self.canvas = RowCanvas(1, 1, id="plot")
        self.traces: list[Trace] = []
        self._changed = False

    def compose(self) -> ComposeResult:
        """The library's parts, with canvases that know what changed."""
        with Grid():
            yield RowCanvas(1, 1, id="margin-top")
            yield RowCanvas(1, 1, id="margin-left")
            yield self.canvas
            yield RowCanvas(1, 1, id="margin-bottom")
        yield Static(id="legend")

    @property
    def ranges(self) -> tuple[float, float, float, float]:
        """What is shown: from and to, of x and of y."""
        return self._x_min, self._x_max, self._y_min, self._y_max

    # -- what is drawn ---------------------------------------------------------------------------

    def clear(self) -> None:
        """Take away all traces."""
        self.traces = []
        super().clear()

    def line(self, x: ArrayLike, y: ArrayLike, style: str) -> None:
        """A line through points of increasing x."""
        self._add(x, y, style, line=True)

    def dots(self, x: ArrayLike, y: ArrayLike, style: str) -> None:
        """A dot for each, eight of which a cell has room for."""
        self._add(x, y, style)

    def marks(self, x: ArrayLike, y: ArrayLike, sign: str, style: str) -> None:
        """A character for each."""
        self._add(x, y, style, sign=sign)

    def _add(self, x: ArrayLike, y: ArrayLike, style: str, *, sign: str = "", line: bool = False) -> None:
        across, up = np.asarray(x, float), np.asarray(y, float)
        known = np.isfinite(across) & np.isfinite(up)
        if known.any():
            self.traces.append(Trace(across[known], up[known], style, sign, line))
        self.refresh()

    # -- drawing it ------------------------------------------------------------------------------

    def refresh(self, *regions: Region, layout: bool = False, **how: Any) -> Drawing:
        """Leave it to `draw`, or do it next; the plot itself is under its canvases and need not be painted."""
        waits, self._changed = self._changed, True
        if layout:
            return super().refresh(*regions, layout=layout, **how)
        if not waits:
            self.call_next(self.draw)
        return self

    def notify_style_update(self) -> None:
        """Take the new colours, of which the library leaves the old ones in what Textual keeps at hand."""
        Widget.notify_style_update(self)
        super().notify_style_update()

    def draw(self) -> None:
        """Put on the canvases what was changed: now, since while the screen is painted it would be painted again."""
        self.render()

    def render(self) -> RenderResult:
        """Draw the axes as the library does, then what is ours."""
        if not self._changed:
            return super().render()
        self._keep_apart()
        self._changed = False
        with ExitStack() as painting:
            for one in self.query(RowCanvas):
                painting.enter_context(one.batch_refresh())
            nothing = super().render()
            if self.canvas.size == self.canvas.drawn_size and min(self.canvas.size) > 2:
                for trace in self.traces:
                    self._draw_trace(trace)
                self._thin_axes()
                self.draw_over(self.canvas)
        return nothing

    def draw_over(self, canvas: Canvas) -> None:
        """What is to be on top of it all."""

    def _keep_apart(self) -> None:
        """The ends of a range that was zoomed to nothing: the library looks after them for traces of its own only."""
        left, right, low, high = self.ranges
        if left == right:
            self.set_xlimits(left - 1e-6, right + 1e-6)
        if low == high:
            self.set_ylimits(low - 1e-6, high + 1e-6)

    def _draw_trace(self, trace: Trace) -> None:
        across, down = self.get_hires_pixel_from_coordinate(trace.x, trace.y)
        inside = Region(1, 1, self.canvas.size.width - 2, self.canvas.size.height - 2)
        if trace.sign:
            for x, y in zip(trace.x, trace.y, strict=True):
                cell = self.get_pixel_from_coordinate(x, y)
                if inside.contains(*cell):
                    self.canvas.set_pixel(*cell, trace.sign, trace.style)
            return
        dots = Dots(inside.width, inside.height)
        (dots.line if trace.line else dots.points)(across - inside.x, down - inside.y)
        for column, row, character in dots.cells():
            self.canvas.set_pixel(column + inside.x, row + inside.y, character, trace.style)

    def _thin_axes(self) -> None:
        canvas, style = self.canvas, str(self.get_component_rich_style("plot--axis"))
        right, bottom = canvas.size.width - 1, canvas.size.height - 1
        for x in range(right + 1):
            below = canvas.get_pixel(x, bottom)[0]
            canvas.set_pixel(x, 0, " ", style)
            canvas.set_pixel(x, bottom, _THIN.get(below, below), style)
        for y in range(bottom):
            beside = canvas.get_pixel(0, y)[0]
            canvas.set_pixel(0, y, _THIN.get(beside, beside), style)
            canvas.set_pixel(right, y, " ", style)
        canvas.set_pixel(0, 0, "│", style)
        canvas.set_pixel(0, bottom, "└", style)
        canvas.set_pixel(right, bottom, "─", style)
