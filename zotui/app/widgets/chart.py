"""A chart of the house: a plot in a titled pane, redrawn only when it must be."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from textual.binding import Binding
from textual.containers import Container
from textual_hires_canvas import Canvas
from textual_plot import NumericAxisFormatter, PlotWidget

from zotui.app import words

LARGE = 2500
"""Cells from which on a chart is drawn once a second instead of twice."""


class Ticks(NumericAxisFormatter):
    """Round ticks, no more of them than there is room for."""

    def __init__(self, most: int = 4, *, whole: bool = False) -> None:
        self.most = most
        self._whole = whole

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten inside the range."""
        span = max_ - min_
        if span <= 1e-9 * max(abs(min_), abs(max_)):  # nothing left to tell apart, however far it was zoomed
            return [min_]
        power = 10.0 ** floor(log10(span / max(1, self.most)))
        spacing = next(power * m for m in (1, 2, 5, 10, 20) if floor(span / (power * m) + 1e-9) <= self.most)
        if self._whole:
            spacing = max(1.0, spacing)
        first = ceil(min_ / spacing - 1e-9)
        last = floor(max_ / spacing + 1e-9)
        return [n * spacing for n in range(first, last + 1)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Steps as short counts, values with the decimals that tell them apart."""
        if self._whole:
            return [words.short_count(tick) for tick in ticks]
        gap = ticks[1] - ticks[0] if len(ticks) > 1 else 0.1
        decimals = max(0, -floor(log10(gap) + 1e-9))
        return [f"{tick:.{decimals}f}" for tick in ticks]


class Plot(PlotWidget, inherit_bindings=False):  # type: ignore[call-arg]
    """The plot inside a chart. Its zoom keys leave the cockpit's keys alone."""

    BINDINGS = [
        Binding("plus", "zoom_x_in", "zoom in", show=False, id="chart.zoom_in", tooltip="zoom in (or the mouse wheel)"),
        Binding("minus", "zoom_x_out", "zoom out", show=False, id="chart.zoom_out", tooltip="zoom out"),
        Binding("0", "whole", "whole run", show=False, id="chart.whole", tooltip="the whole run again"),
        Binding("left", "pan_left", "pan left", show=False, id="chart.left", tooltip="pan to earlier steps"),
        Binding("right", "pan_right", "pan right", show=False, id="chart.right", tooltip="pan to later steps"),
        Binding("up", "pan_up", "pan up", show=False, id="chart.up", tooltip="pan up"),
        Binding("down", "pan_down", "pan down", show=False, id="chart.down", tooltip="pan down"),
    ]
    COMPONENT_CLASSES = {"plot--raw", "plot--line", "plot--mark", "plot--reference", "plot--limit", "plot--beyond"}
    DEFAULT_CSS = """
    Plot {
        & > .plot--axis, &:focus > .plot--axis { color: $line; background: $surface; }
        & > .plot--tick { color: $quiet; background: $surface; text-style: none; }
        & > .plot--label { color: $quiet; background: $surface; text-style: none; }
        & > .plot--raw { color: $secondary; background: $surface; }
        & > .plot--line { color: $primary; background: $surface; }
        & > .plot--mark { color: $success; background: $surface; }
        & > .plot--reference { color: $accent; background: $surface; }
        & > .plot--limit { color: $warning; background: $surface; }
        & > .plot--beyond { color: $error; background: $surface; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.zoomed = False  # by hand: then the ranges are the user's

    def on_mount(self) -> None:
        """Leave the room to the curve."""
        super().on_mount()
        self.margin_top, self.margin_bottom, self.margin_left = 0, 1, 6
        self.set_x_formatter(Ticks(whole=True))
        self.set_y_formatter(Ticks())

    def on_plot_widget_scale_changed(self) -> None:
        """Remember that the ranges are the user's now."""
        self.zoomed = True

    def action_whole(self) -> None:
        """Show the whole run again."""
        self.action_reset_scales()
        self.call_after_refresh(setattr, self, "zoomed", False)

    def _render_plot(self) -> None:
        """Draw as the library does, then lighten its heavy box to two thin axes."""
        canvas = self.query_one("#plot", Canvas) if self.is_mounted else None
        if canvas is None:  # not composed yet; it will be drawn when it is
            return
        with canvas.batch_refresh():  # else every pixel asks for a refresh of its own
            super()._render_plot()
            if canvas.size == canvas._canvas_size and canvas.size.width > 2 and canvas.size.height > 2:
                self._thin_axes(canvas)

    def _thin_axes(self, canvas: Canvas) -> None:
        right, bottom = canvas.size.width - 1, canvas.size.height - 1
        style = self.style_of("plot--axis")
        for x in range(right + 1):
            ticked = canvas.get_pixel(x, bottom)[0] != "━"
            canvas.set_pixel(x, 0, " ", style)
            canvas.set_pixel(x, bottom, "┬" if ticked and x < right else "─", style)
        for y in range(bottom):
            ticked = canvas.get_pixel(0, y)[0] != "┃"
            canvas.set_pixel(0, y, "┤" if ticked and y > 0 else "│", style)
            canvas.set_pixel(right, y, " ", style)
        canvas.set_pixel(0, bottom, "└", style)

    def style_of(self, part: str) -> str:
        """The theme's colours for a part of the plot, as the plotting library wants them."""
        return str(self.get_component_rich_style(part))

    def show_nothing(self) -> None:
        """Empty axes, without figures that nothing was measured by."""
        self.clear()
        self.set_xticks([])
        self.set_yticks([])
        self.set_ranges((0, 1), (0, 1))

    def show_axes(self) -> None:
        """Start a drawing, with figures at the axes."""
        self.clear()
        self.set_xticks(None)
        self.set_yticks(None)

    def set_ranges(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Show these ranges, unless the user chose others."""
        if self.zoomed:
            return
        self.set_xlimits(*x)
        self.set_ylimits(*y)

    def up_to(self, last: float) -> tuple[float, float]:
        """The range from 0 that leaves the column at the right to a mark at `last`."""
        return 0.0, last * (1 + 1.5 / self.columns)

    @property
    def columns(self) -> int:
        """The width of the drawing, in cells."""
        return max(8, self.size.width - 8)


class Chart(Container):
    """A titled pane with a plot. Subclasses draw; `refresh_curve` says when that is worth it."""

    DEFAULT_CSS = """
    Chart {
        border: round $line;
        border-title-color: $foreground;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0;
        width: 1fr;
        height: 1fr;
    }
    Chart:focus-within { border: round $secondary; }
    Chart Canvas { background: $surface; }
    """

    def __init__(self, title: str, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self.plot = Plot()
        self.draws = 0  # how often it was drawn, for those who watch its appetite
        self._drawn: object = None
        self._skipped = 0

    def on_mount(self) -> None:
        """Colours come from the theme: another theme is another drawing."""
        self.app.theme_changed_signal.subscribe(self, self._forget)

    def _forget(self, _: object) -> None:
        self._drawn = None

    def due(self, version: object) -> bool:
        """Whether it can be seen and would look different from what is drawn."""
        wanted = (version, self.size, self.plot.zoomed)
        if not self.display or not self.is_on_screen or wanted == self._drawn:
            return False
        if self._drawn is not None and self.size.area > LARGE and self._skipped < 1:
            self._skipped += 1  # a large one costs the terminal more: every other time will do
            return False
        self._skipped = 0
        self._drawn = wanted
        self.draws += 1
        height = self.plot.size.height - 3
        self.plot.set_x_formatter(Ticks(max(2, min(10, self.plot.columns // 9)), whole=True))
        self.plot.set_y_formatter(self.y_ticks(max(1, min(8, height // 2))))
        return True

    def y_ticks(self, most: int) -> NumericAxisFormatter:
        """What puts at most so many figures at the upright axis."""
        return Ticks(most)
