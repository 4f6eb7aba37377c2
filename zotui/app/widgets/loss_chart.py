"""The training loss: every step as a dot, their running mean as a line."""

from __future__ import annotations

from textual.app import ComposeResult
from textual_plot import HiResMode

from zotui.app import words
from zotui.app.state import RunState
from zotui.app.widgets.chart import Chart


class LossChart(Chart):
    """Loss against step."""

    def __init__(self) -> None:
        super().__init__("loss", "loss-chart")

    def compose(self) -> ComposeResult:
        yield self.plot

    def refresh_curve(self, run: RunState) -> None:
        """Draw the losses if they changed."""
        plot = self.plot
        # What moves the curve by less than half a column cannot be seen: a long run is drawn rarely.
        grain = 1 if run.outcome else max(1, run.done // (2 * plot.columns))
        if not self.due((run.done // grain, grain, run.losses.stride, run.steps)):
            return
        steps, raw, smooth = run.losses.points(2 * plot.columns)
        if not steps:
            self.border_subtitle = "no step yet"
            plot.show_nothing()
            return
        plot.show_axes()
        plot.set_ranges(plot.up_to(max(run.done, 10)), spread(raw, smooth))
        plot.scatter(steps, raw, marker_style=plot.style_of("plot--raw"), hires_mode=HiResMode.BRAILLE)
        plot.plot(steps, smooth, line_style=plot.style_of("plot--line"), hires_mode=HiResMode.BRAILLE)
        mean, told = run.losses.mean, run.update_kept
        parts = [] if mean is None else [f"smoothed {words.loss(mean)}"]
        if told is not None and told.update_kept is not None:
            cosine = told.update_cosine if self.size.width >= 60 else None
            parts.append(f"update kept {words.update_kept(told.update_kept, cosine)}")
        self.border_subtitle = "  ".join(parts)


def spread(raw: list[float], smooth: list[float]) -> tuple[float, float]:
    """A range that holds the line and nearly all of the dots: one stray batch must not flatten it."""
    ordered = sorted(raw)
    cut = len(ordered) // 50
    low = min(ordered[cut], min(smooth))
    high = max(ordered[-1 - cut], max(smooth))
    room = max(0.05 * (high - low), 0.001 * abs(high), 1e-6)  # a flat curve has a range of rounding errors
    return low - room, high + room
