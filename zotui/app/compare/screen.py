"""Several runs in one chart, with what they differ in and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from engine.runs.directory import RunDir
from zotui.app import glossary
from zotui.app.compare.chart import CompareChart, View, curve_colour
from zotui.app.compare.table import CompareTable
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.kit.take_away import TakeAway
from zotui.app.kit.while_mounted import while_mounted
from zotui.runs.curves import Columns, smoothing_span
from zotui.runs.side_by_side import Comparison, differing, result, settings
from zotui.text import numbers

READ_EVERY = 2.0
REDRAW_EVERY = 0.5


class Compare(Screen[None]):
    """Reads the records of runs, and every two seconds what was added to them."""

    DEFAULT_CSS = """
    Compare { layout: vertical; background: $background; }
    Compare #legend { height: auto; max-height: 3; padding: 0 2; }
    Compare #compared { height: 1fr; layout: vertical; }
    Compare CompareChart { height: 5fr; }
    Compare CompareTable { height: 4fr; }
    Compare.-tall CompareChart, Compare.-huge CompareChart { height: 1fr; }
    Compare.-tall CompareTable, Compare.-huge CompareTable { height: 21; }
    Compare.-wide #compared { layout: horizontal; }
    Compare.-wide CompareChart { width: 3fr; height: 1fr; }
    Compare.-wide CompareTable { width: 2fr; height: 1fr; }
    """
    AUTO_FOCUS = "Plot"
    BINDINGS = [
        Binding("x", "axis", "axis", id="compare.axis", tooltip="over steps, time or tokens"),
        Binding(
            "m", "metric", "metric", id="compare.metric",
            tooltip="the next series: loss, held-out figures, |L+ − L−|, gradient, learning rate, speed, update kept",
        ),
        Binding(
            "L,l", "logarithmic", "log", key_display="L", id="compare.log_scale",
            tooltip="logarithms upwards, or the values themselves",
        ),
        Binding(
            "left_square_bracket", "smoother(-1)", "smoothing", show=False, id="compare.rougher",
            tooltip="smooth over fewer steps",
        ),
        Binding(
            "right_square_bracket", "smoother(1)", "smoother", show=False, id="compare.smoother",
            tooltip="smooth over more steps",
        ),
        Binding(
            "y", "take_away", "take away", id="compare.take_away",
            tooltip="copy the values, or write them and their charts into files",
        ),
        Binding("q,escape", "leave", "back", key_display="q", id="compare.leave", tooltip="back to the runs"),
        Binding("question_mark,f1", "help", "help", id="compare.help", tooltip="this help"),
    ]  # fmt: skip

    def __init__(self, runs: Sequence[RunDir]) -> None:
        super().__init__()
        self.curves = [Columns(run) for run in runs]
        self.compared: Comparison | None = None
        self.view = View(span=max(smoothing_span(run.summary().steps) for run in runs))
        self._reading = False  # on a thread: the curves are its own then
        self._told: set[str] = set()

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        yield Static(id="legend")
        with Container(id="compared"):
            yield CompareChart()
            yield CompareTable()
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to read, and go on with it."""
        self.query_one(CompareChart).border_title = "reading"
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self._show))
        self.set_interval(READ_EVERY, self._read_on)
        self.set_interval(REDRAW_EVERY, self.redraw)
        self._read_on()

    def on_resize(self) -> None:
        """The columns of the table and the names of the legend follow the width."""
        self.call_after_refresh(self._show)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self.run_worker(self._read())

    async def _read(self) -> None:
        try:
            self.compared = await asyncio.to_thread(self._take_in)
        finally:
            self._reading = False
        self._show()

    def _take_in(self) -> Comparison:
        """Read what was added; only what changed is worked out again."""
        known = {one.path: one for one in self.compared.results} if self.compared else {}
        results = []
        for run in self.curves:
            before, changed = known.get(str(run.run.path)), run.refresh()
            same = before is not None and not changed and before.standing == run.run.summary().standing
            results.append(before if before is not None and same else result(run))
        if self.compared is not None and all(one is known.get(one.path) for one in results):
            return self.compared
        return Comparison(results, differing([settings(run.run) for run in self.curves]))

    @while_mounted
    def redraw(self) -> None:
        """Draw the curves again where they would look different."""
        if self.compared is not None and not self._reading:
            self.query_one(CompareChart).refresh_curves(self.curves, self.view)

    @while_mounted
    def _show(self) -> None:
        if self.compared is None:
            return
        live = sum(one.standing == "live" for one in self.compared.results)
        about = f"{len(self.curves)} runs" + (f"  ·  {live} live" if live else "")
        self.query_one(HeaderLine).show("compare", about)
        self.query_one("#legend", Static).update(self._legend())
        self.query_one(CompareTable).show(self.compared)
        self.redraw()
        for one in self.compared.results:
            if one.fault and one.fault not in self._told:
                self._told.add(one.fault)
                self.notify(one.fault, title=f"{one.name} is shown in part", severity="warning", markup=False)

    def _legend(self) -> Content:
        """Every run by its number and name, on as few lines as they take."""
        width = max(20, self.size.width - 4)
        names = [run.run.name for run in self.curves]
        each = width // min(len(names), max(1, width // 24)) - 8
        parts = [
            Content.assemble((f"{(number + 1) % 10} ━━ ", curve_colour(self.app, number)), name)
            for number, name in enumerate(numbers.told_apart(names, max(8, each)))
        ]
        lines, line = [], Content("")
        for part in parts:
            if line.cell_length and line.cell_length + 3 + part.cell_length > width:
                lines.append(line)
                line = Content("")
            line = Content.assemble(line, "   " if line.cell_length else "", part)
        return Content("\n").join([*lines, line])

    # -- the view -------------------------------------------------------------------------------

    def _look(self, view: View) -> None:
        self.view = view
        self.redraw()

    def action_axis(self) -> None:
        """Over steps, time or tokens."""
        self.query_one(CompareChart).whole()
        self._look(self.view.next_axis())

    def action_metric(self) -> None:
        """The next figure."""
        self.query_one(CompareChart).whole()
        self._look(replace(self.view, quantity=self.view.quantity + 1))

    def action_logarithmic(self) -> None:
        """Logarithms, or the values themselves."""
        self.query_one(CompareChart).whole()
        self._look(replace(self.view, logarithmic=not self.view.logarithmic))

    def action_smoother(self, by: int) -> None:
        """Smooth over more steps, or fewer."""
        self._look(self.view.smoother(by))

    # -- elsewhere ------------------------------------------------------------------------------

    def action_take_away(self) -> None:
        """Copy values, or write them into files."""
        self.app.push_screen(TakeAway([run.run for run in self.curves], self.view.axis))

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.COMPARE))

    def action_leave(self) -> None:
        """Back to the list of runs."""
        self.app.pop_screen()
