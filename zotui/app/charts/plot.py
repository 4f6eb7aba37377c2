"""The plot inside a chart: views that follow a run, and a cursor."""

from __future__ import annotations

from typing import Literal

import numpy as np
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual_hires_canvas import Canvas

from zotui.app.charts.drawing import Drawing
from zotui.app.charts.series import Numbers
from zotui.app.charts.ticks import Ticks

View = Literal["whole", "follow", "free"]
"""All of it; its newest part; what the user chose by zooming and panning."""


class Plot(Drawing, inherit_bindings=False):  # type: ignore[call-arg]
    """A plot. Its zoom keys leave the cockpit's keys alone."""

    BINDINGS = [
        Binding("plus", "zoom_x_in", "zoom in", show=False, id="chart.zoom_in", tooltip="zoom in (or the mouse wheel)"),
        Binding("minus", "zoom_x_out", "zoom out", show=False, id="chart.zoom_out", tooltip="zoom out"),
        Binding("0", "whole", "whole run", show=False, id="chart.whole", tooltip="the whole run again"),
        Binding("left", "pan_left", "pan left", show=False, id="chart.left", tooltip="pan to earlier steps"),
        Binding("right", "pan_right", "pan right", show=False, id="chart.right", tooltip="pan to later steps"),
        Binding("up", "pan_up", "pan up", show=False, id="chart.up", tooltip="pan up"),
        Binding("down", "pan_down", "pan down", show=False, id="chart.down", tooltip="pan down"),
    ]
    COMPONENT_CLASSES = {
        "plot--raw",
        "plot--line",
        "plot--mark",
        "plot--limit",
        "plot--cursor",
    }
    DEFAULT_CSS = """
    Plot {
        & > .plot--axis, &:focus > .plot--axis { color: $line; background: $surface; }
        & > .plot--tick { color: $quiet; background: $surface; text-style: none; }
        & > .plot--label { color: $quiet; background: $surface; text-style: none; }
        & > .plot--raw { color: $secondary; background: $surface; }
        & > .plot--line { color: $primary; background: $surface; }
        & > .plot--mark { color: $success; background: $surface; }
        & > .plot--limit { color: $warning; background: $surface; }
        & > .plot--cursor { color: $accent; background: $surface; }
    }
    """

    class Looked(Message):
        """The user looks at another part of it, at another point, or in another size."""

    def __init__(self, margin: int = 6) -> None:
        super().__init__()
        self.view: View = "whole"
        self.cursor: tuple[float, float] | None = None  # the point that is inspected
        self.points: tuple[Numbers, Numbers] = np.zeros(0), np.zeros(0)  # that can be inspected
        self._margin = margin
        self._pressed: tuple[int, int] | None = None  # where the mouse was pressed

    def on_mount(self) -> None:
        """Leave the room to the curve."""
        super().on_mount()
        self.margin_top, self.margin_bottom, self.margin_left = 0, 1, self._margin
        self.set_x_formatter(Ticks(whole=True))
        self.set_y_formatter(Ticks())

    def on_resize(self) -> None:
        """Of a run that is over nothing more comes that would draw it again."""
        self.post_message(self.Looked())

    # -- which part is shown ---------------------------------------------------------------------

    @property
    def zoomed(self) -> bool:
        """Whether the ranges are the user's."""
        return self.view == "free"

    @property
    def columns(self) -> int:
        """The width of the drawing, in cells."""
        return max(8, self.size.width - self._margin - 2)

    def on_plot_widget_scale_changed(self) -> None:
        """Remember that the ranges are the user's now."""
        self.view = "free"
        self.post_message(self.Looked())

    def action_whole(self) -> None:
        """Show the whole run again."""
        self.view = "whole"
        self.post_message(self.Looked())

    def follow(self) -> None:
        """Show the newest part, as wide as what is shown now; or stay where it is."""
        self.view = "free" if self.view == "follow" else "follow"
        self.post_message(self.Looked())

    def up_to(self, last: float) -> tuple[float, float]:
        """The range from 0 that leaves the column at the right to a mark at `last`."""
        return 0.0, last * (1 + 1.5 / self.columns)

    def window(self, last: float) -> tuple[float, float]:
        """The steps that are to be shown of a run that has come to `last`."""
        if self.view == "whole":
            return self.up_to(last)
        if self.view == "free":
            return self.ranges[:2]
        width = self.ranges[1] - self.ranges[0]
        if width >= last:  # it was the whole run: a quarter of it then
            width = max(10.0, last / 4)
        end = last + 1.5 * width / self.columns
        return end - width, end

    def set_ranges(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Show these ranges, unless the user chose others."""
        if self.view != "free":
            self.set_xlimits(*x)
            self.set_ylimits(*y)

    # -- inspecting ------------------------------------------------------------------------------

    def inspect(self, step: float | None) -> None:
        """Look at the point that is nearest to a step, or at none."""
        x, y = self.points
        place = None
        if step is not None and len(x):
            nearest = int(np.argmin(np.abs(x - step)))
            place = float(x[nearest]), float(y[nearest])
        if place != self.cursor:
            self.cursor = place
            self.post_message(self.Looked())

    def _go(self, points: int) -> None:
        x = self.points[0]
        if self.cursor is not None and len(x):
            nearest = int(np.argmin(np.abs(x - self.cursor[0])))
            self.inspect(float(x[max(0, min(len(x) - 1, nearest + points))]))

    def action_pan_left(self) -> None:
        """The view, or the point that is inspected, to the left."""
        if self.cursor is None:
            super().action_pan_left()
        else:
            self._go(-1)

    def action_pan_right(self) -> None:
        """The view, or the point that is inspected, to the right."""
        if self.cursor is None:
            super().action_pan_right()
        else:
            self._go(1)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Where a click, or a drag, begins."""
        self._pressed = event.screen_x, event.screen_y

    def on_click(self, event: events.Click) -> None:
        """Inspect what was clicked on; a drag is none."""
        if self._pressed == (event.screen_x, event.screen_y):
            self.inspect(self._step_under(event))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """While something is inspected, what the mouse points at is."""
        if self.cursor is not None and event.button == 0:
            self.inspect(self._step_under(event))

    def _step_under(self, event: events.MouseEvent) -> float:
        return self.get_coordinate_from_pixel(event.screen_x - self.canvas.region.x, 0)[0]

    # -- drawing ---------------------------------------------------------------------------------

    def style_of(self, part: str) -> str:
        """The theme's colours for a part of the plot, as the plotting library wants them."""
        return str(self.get_component_rich_style(part))

    def show_nothing(self) -> None:
        """Empty axes, without figures that nothing was measured by."""
        self.clear()
        self.points = np.zeros(0), np.zeros(0)
        self.set_xticks([])
        self.set_yticks([])
        self.set_ranges((0, 1), (0, 1))

    def show_axes(self) -> None:
        """Start a drawing, with figures at the axes."""
        self.clear()
        self.set_xticks(None)
        self.set_yticks(None)

    def draw_over(self, canvas: Canvas) -> None:
        """The point that is inspected, on a line of its own."""
        if self.cursor is None or not self.ranges[0] <= self.cursor[0] <= self.ranges[1]:
            return
        style = self.style_of("plot--cursor")
        x, y = self.get_pixel_from_coordinate(*self.cursor)
        for row in range(1, canvas.size.height - 1):
            if canvas.get_pixel(x, row)[0] == " ":
                canvas.set_pixel(x, row, "│", style)
        if 0 < y < canvas.size.height - 1:
            canvas.set_pixel(x, y, "●", style)
