"""One series of a run, whichever the user chooses: every step as dots, their running mean as a line."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult
from textual.content import Content
from textual_plot import NumericAxisFormatter

from zotui.app.charts.chart import Chart, spread
from zotui.app.charts.plot import Plot
from zotui.app.charts.quantities import Drawn, Quantity
from zotui.app.charts.series import Numbers
from zotui.app.charts.ticks import LogTicks, Ticks
from zotui.app.cockpit.panes.timeline import Timeline
from zotui.app.state.method_now import method_now
from zotui.app.state.run_state import RunState
from zotui.text import numbers

LEVELS = (0.0, 0.25, 1.0, 4.0, 16.0)
"""How smooth the line is, in parts of what suits the run's length; 0 is not at all."""

ROOM_FOR_TIMELINE = 9
"""Rows of a chart from which on the timeline has one."""


class SeriesChart(Chart):
    """A series against steps, with what happened at them underneath."""

    BORDER_TITLE = "loss"

    def __init__(self, id: str, first: tuple[str, ...], *, timeline: bool = False) -> None:
        """`first` are the keys of the quantities to begin with: the first of them that there is something of."""
        super().__init__(first[0], id, margin=7)
        self._wanted = first
        self.logarithmic = False
        self.level = LEVELS.index(1.0)
        self._timeline = Timeline(self.plot) if timeline else None
        self._run: RunState | None = None
        self._told: tuple[Content, Content] | None = None  # in the border
        self._rescale = False  # the heights are of another series, or on another scale, than those that are shown

    def compose(self) -> ComposeResult:
        yield self.plot
        if self._timeline is not None:
            yield self._timeline

    # -- what the user chooses -------------------------------------------------------------------

    @property
    def quantity(self) -> Quantity | None:
        """What is shown, of what there is."""
        known = {one.key: one for one in self._run.drawings.known()} if self._run else {}
        return next((known[key] for key in self._wanted if key in known), None)

    @property
    def span(self) -> int:
        """Steps that the line is smoothed over; 0 or 1 is not at all."""
        return round(LEVELS[self.level] * self._run.span) if self._run else 0

    def turn(self, by: int) -> None:
        """Show another series: the next one, or the one before."""
        shown = self.quantity
        known = [one.key for one in self._run.drawings.known()] if self._run else []
        if known:
            at = known.index(shown.key) + by if shown else 0
            self._wanted = (known[at % len(known)],)
            self.plot.cursor = None
            self._again()

    def smooth(self, by: int) -> None:
        """Smooth more, or less."""
        self.level = max(0, min(len(LEVELS) - 1, self.level + by))
        self._again()

    def toggle_log(self) -> None:
        """A logarithmic scale, or a linear one."""
        self.logarithmic = not self.logarithmic
        self.plot.cursor = None
        self._again()

    def toggle_inspect(self) -> None:
        """Look at the values of single points, beginning with the newest, or no more."""
        x = self.plot.points[0]
        self.plot.inspect(float(x[-1]) if self.plot.cursor is None and len(x) else None)

    def _look_again(self) -> None:
        if self._run is not None:
            self.refresh_curve(self._run)

    def on_plot_looked(self, _: Plot.Looked) -> None:
        """Another part of it is to be seen, or another point."""
        self._look_again()

    def _again(self) -> None:
        self._rescale = True
        self._look_again()

    # -- drawing ---------------------------------------------------------------------------------

    def _look(self) -> object:
        return super()._look(), self.quantity, self.logarithmic, self.span

    def y_ticks(self, most: int) -> NumericAxisFormatter:
        """On the scale that was chosen."""
        return LogTicks(most) if self.logarithmic else Ticks(most)

    def refresh_curve(self, run: RunState, *, now: bool = False) -> None:
        """Draw the series if it changed, now and then or `now`."""
        self._run = run
        quantity, plot = self.quantity, self.plot
        # What moves the curve by less than a column cannot be seen: a long run is drawn rarely.
        reach = max(run.done, 10)
        first, last = plot.window(reach)
        grain = 1 if run.outcome else max(1, int((last - first) / plot.columns))
        known = 0 if quantity is None else run.drawings.version(quantity)
        events = (len(run.marks), len(run.evaluations))
        moved = 0 if plot.zoomed and run.done > last + grain else run.done // grain
        if not self.due((known // grain, grain, moved, events, run.outcome), now=now):
            return
        if self._timeline is not None:
            self._timeline.display = self.size.height >= ROOM_FOR_TIMELINE
        if quantity is None:
            self._say(self._wanted[0], "nothing yet")
            plot.show_nothing()
            return
        drawn = run.drawings.drawn(quantity, 2 * plot.columns, self.span, first, last)
        if len(drawn.x):
            self._draw(quantity, self._scaled(drawn), (first, last))
            self._say(quantity.title, self._readout(quantity, drawn, run))
        else:
            self._say(quantity.title, "no step yet" if quantity.column else "no evaluation yet")
            plot.show_nothing()
        plot.draw()

    def _scaled(self, drawn: Drawn) -> Drawn:
        if not self.logarithmic:
            return drawn
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, line = (np.where(part > 0, np.log10(part), np.nan) for part in drawn[1:])
        return Drawn(drawn.x, low, high, line)

    def _draw(self, quantity: Quantity, drawn: Drawn, ends: tuple[float, float]) -> None:
        plot = self.plot
        line_style = plot.style_of("plot--line" if quantity.column else "plot--mark")
        heights = spread(np.concatenate([drawn.low, drawn.high]), drawn.line)
        plot.show_axes()
        plot.set_ranges(ends, heights)
        if self._rescale:
            plot.set_ylimits(*heights)
            self._rescale = False
        if quantity.column and quantity.smoothed:
            style = plot.style_of("plot--raw")
            x = np.concatenate([drawn.x, drawn.x])
            plot.dots(x, np.concatenate([drawn.low, drawn.high]), style)
        plot.line(drawn.x, drawn.line, line_style)
        if not quantity.column and len(drawn.x) <= plot.columns // 3:  # marks that would touch say no more
            plot.marks(drawn.x, drawn.line, "●", line_style)
        self._mark_beyond(drawn)
        known = np.isfinite(drawn.line)
        plot.points = drawn.x[known], drawn.line[known]
        if plot.cursor is not None:
            plot.inspect(plot.cursor[0])

    def _mark_beyond(self, drawn: Drawn) -> None:
        """Signs at the edges for what lies off the scale: no peak disappears."""
        *_, low, high = self.plot.ranges
        row = (high - low) / max(1, self.plot.size.height - 3)
        style = self.plot.style_of("plot--limit")
        for beyond, height, sign in ((drawn.high > high, high - row / 2, "▴"), (drawn.low < low, low + row / 2, "▾")):
            x: Numbers = drawn.x[beyond]
            if len(x):
                self.plot.marks(x, np.full(len(x), height), sign, style)

    # -- words -----------------------------------------------------------------------------------

    def _say(self, title: str, readout: str) -> None:
        """The title, how it is looked at, and the figures: below, unless the legend of the timeline stands there."""
        legend = Content("")
        if self._timeline is not None and self._timeline.display and self._run is not None:
            run = self._run
            self._timeline.show(run.marks, (one.step for one in run.evaluations), run.fold_every, run.done)
            legend = self._timeline.legend()
        view = self.plot.view
        how = [word for word, so in (("log", self.logarithmic), (view, view != "whole")) if so]
        above = Content.assemble((title, "bold"), *((f"  {word}", "$warning") for word in how))
        if legend:
            above = Content.assemble(above, "  ", readout)
        above = Content.assemble(above, (self._method(self.size.width - 6 - above.cell_length), "$quiet"))
        told = (above, legend or Content(readout))
        if told != self._told:
            self._told = told
            self.border_title, self.border_subtitle = told

    def _method(self, room: int) -> str:
        """The method, its rate and eps, where no line of the status has them: as much of it as there is room for."""
        if self._timeline is None or self._run is None or not self.screen.has_class("-short"):
            return ""
        now = method_now(self._run)
        return next((f"  {words}" for words in (now.words(), now.words(spread=False)) if len(words) + 2 <= room), "")

    def _readout(self, quantity: Quantity, drawn: Drawn, run: RunState) -> str:
        """The newest of it, or the point that is inspected."""
        if self.plot.cursor is not None:
            return self._inspected(quantity, drawn)
        if not quantity.column:
            return self._best(quantity, run)
        newest = float(drawn.line[-1])
        about = [quantity.figure(newest) if np.isfinite(newest) else numbers.NOTHING]
        if quantity.key == "loss" and run.update_kept is not None:
            cosine = run.update_kept.update_cosine if self.size.width >= 60 else None
            about.append(f"update kept {numbers.update_kept(run.update_kept.update_kept, cosine)}")
        if quantity.smoothed and self.size.width >= 60:
            about.append(f"smoothed over {numbers.count(self.span)}" if self.span > 1 else "not smoothed")
        return "  ".join(about)

    def _inspected(self, quantity: Quantity, drawn: Drawn) -> str:
        assert self.plot.cursor is not None
        step = self.plot.cursor[0]
        at = int(np.argmin(np.abs(drawn.x - step)))
        low, high, line = float(drawn.low[at]), float(drawn.high[at]), float(drawn.line[at])
        text = f"step {numbers.count(step)}: {quantity.figure(low)}"
        if high > low:
            text += f"–{quantity.figure(high)}"
        return f"{text}, smoothed {quantity.figure(line)}" if quantity.column and quantity.smoothed else text

    def _best(self, quantity: Quantity, run: RunState) -> str:
        best = run.best(quantity.metric)
        if best is None:
            return ""
        figure = quantity.figure(best.metrics[quantity.metric])
        if not best.step:
            return f"best {figure} before training" if len(run.evaluations) > 1 else ""
        return f"best {figure} at {numbers.count(best.step)}, {numbers.span(run.reached(best.step))}"
