"""The live view: everything there is to see of a run, and how to look at it."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.events import Resize, ScreenResume
from textual.screen import Screen
from textual.widgets import Static

from engine.protocol.events import Step, Telemetry
from zotui.app.cockpit.layout import PANES, Choices, Panes
from zotui.app.cockpit.panes.events import LogPane
from zotui.app.cockpit.panes.outcome import Verdict
from zotui.app.cockpit.panes.series_chart import SeriesChart
from zotui.app.cockpit.panes.signal import SignalPane
from zotui.app.cockpit.panes.status import StatusLine
from zotui.app.cockpit.panes.tiles import Tiles
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.key_bar import KeyBar
from zotui.app.kit.pace import DRAIN_EVERY, REDRAW_EVERY, SOONEST
from zotui.app.kit.while_mounted import while_mounted
from zotui.app.state.feed import Ended, Feed, Item
from zotui.app.state.outcome import Outcome
from zotui.app.state.run_state import RunState

_SLACK = 0.05  # of a timer
_SETTLE_AFTER = 2.5  # longer than anything is held back


class LiveView(Screen[None]):
    """Watches a feed: takes what came four times a second, and shows it once a second, or twice if there is news."""

    DEFAULT_CSS = """
    LiveView { layout: vertical; background: $background; }
    LiveView #body { layout: vertical; height: 1fr; }
    LiveView .row { layout: horizontal; width: 1fr; }
    LiveView #charts { height: 1fr; }
    LiveView #main-chart { width: 3fr; }
    LiveView #second-chart { width: 2fr; }
    LiveView #below { height: 6; }
    LiveView #events { width: 3fr; }
    LiveView.-tall #charts, LiveView.-huge #charts { height: 3fr; }
    LiveView.-tall #below { height: 2fr; max-height: 12; }
    LiveView.-huge #below { height: 2fr; max-height: 20; }
    LiveView.-wide #body { layout: horizontal; }
    LiveView.-wide .row { layout: vertical; height: 1fr; max-height: 100%; }
    LiveView.-wide #charts { width: 3fr; }
    LiveView.-wide #below { width: 2fr; height: 1fr; max-height: 100%; }
    LiveView.-wide #main-chart, LiveView.-wide #second-chart, LiveView.-wide #events { width: 1fr; }
    LiveView.-wide #main-chart { height: 2fr; }
    LiveView.-wide SignalPane { width: 1fr; height: 10; }
    LiveView .row .-maximised { width: 1fr; height: 1fr; }
    LiveView.-maximised #below, LiveView.-without-charts #below { height: 1fr; max-height: 100%; }
    LiveView.-short.-ended #below, LiveView.-tall.-died #below { display: none; }
    LiveView.-short.-died Tiles, LiveView.-short.-died #body { display: none; }
    LiveView.-short.-ended.-maximised #below, LiveView.-tall.-died.-maximised #below { display: block; }
    LiveView.-short.-died.-maximised Tiles, LiveView.-short.-died.-maximised #body { display: block; }
    LiveView #no-panes { display: none; height: 1fr; content-align: center middle; color: $quiet; }
    LiveView.-without-panes #no-panes { display: block; }
    """
    AUTO_FOCUS = "#main-chart Plot"
    BINDINGS = [
        Binding(
            "m", "chart('next')", "next series", show=False, id="cockpit.series_next",
            tooltip="in a chart: the next series: losses, evaluations, gradient, speed and more",
        ),
        Binding(
            "M", "chart('before')", "series before", show=False, id="cockpit.series_before",
            tooltip="in a chart: the series before",
        ),
        Binding(
            "v", "chart('values')", "values", show=False, id="cockpit.values",
            tooltip="in a chart: values at one step; left and right, or the mouse, go to others (a click does it too)",
        ),
        Binding(
            "L", "chart('log')", "log scale", show=False, id="cockpit.log_scale",
            tooltip="in a chart: logarithmic scale, or linear",
        ),
        Binding(
            "left_square_bracket", "chart('rougher')", "less smooth", show=False, id="cockpit.rougher",
            tooltip="in a chart: smooth less",
        ),
        Binding(
            "right_square_bracket", "chart('smoother')", "smoother", show=False, id="cockpit.smoother",
            tooltip="in a chart: smooth more",
        ),
        Binding(
            "w", "chart('follow')", "follow", show=False, id="cockpit.follow",
            tooltip="in a chart: follow the newest steps, or stay where it is",
        ),
        *(
            Binding(
                str(number), f"pane('{name}')", f"{name} pane", show=False, id=f"cockpit.pane_{number}",
                tooltip=f"show or hide: {about}",
            )
            for number, (name, about) in enumerate(PANES.items(), 1)
        ),
        Binding(
            "z", "maximise", "one pane", show=False, id="cockpit.maximise",
            tooltip="the pane that has the focus alone, or all again (escape, too)",
        ),
        Binding(
            "slash", "filter", "filter", show=False, id="cockpit.filter",
            tooltip="filter the events as you type; enter keeps the filter, escape ends it",
        ),
        Binding(
            "ctrl+l", "level", "level", show=False, id="cockpit.level",
            tooltip="all events, or from info, warnings or errors on",
        ),
    ]  # fmt: skip

    def __init__(
        self,
        feed: Feed,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
        choices: Choices | None = None,
    ) -> None:
        super().__init__()
        self.feed = feed
        self.run = RunState(feed.run.name, clock, wall)
        self.exit_code: int | None = None
        self.panes = Panes(self, choices or Choices())
        self._local = local
        self._second = -1
        self._new = True  # on no screen yet
        self._taken: list[Item] = []  # and not told of yet
        self._outcome: Outcome | None = None  # that was told of
        self._shown_at = float("-inf")
        self._news = self._urgent = False  # something came that is not shown yet, and it is more than another step
        self._unsettled = False  # what was shown last may have been held back in part

    def compose(self) -> ComposeResult:
        # What the arrangement depends on, before anything is styled: to style and arrange it all again takes long.
        self.feed.start()
        self._take()
        self.update_classes({**self._size_classes(), **self._end_classes()}, update=False)
        yield HeaderLine()
        yield StatusLine()
        yield Tiles()
        yield Verdict()
        with Container(id="body", classes="panes"):
            with Container(id="charts", classes="panes row"):
                yield SeriesChart("main-chart", ("loss",), timeline=True)
                yield SeriesChart("second-chart", ("held-out accuracy", "held-out loss"))
            with Container(id="below", classes="panes row"):
                yield LogPane(self._local)
                yield SignalPane()
        yield Static("every pane is hidden: the help tells the keys that show them", id="no-panes")
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to watch."""
        self.set_interval(DRAIN_EVERY, self.drain)
        self.set_interval(DRAIN_EVERY / 10, self.drain, repeat=40)  # records are there soon
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))
        self.panes.arrange()
        self._take()  # an engine that stood ready has spoken by now: its first word is not held back
        self.redraw()

    def on_screen_resume(self, event: ScreenResume) -> None:
        """What was styled a moment ago need not be again."""
        if self._new:
            event.refresh_styles = self._new = False

    def on_resize(self, _: Resize) -> None:
        """Another size may hide other panes."""
        self.call_after_refresh(self.panes.close_gaps)

    def on_unmount(self) -> None:
        """Nobody watches any more."""
        self.feed.close()

    # -- watching -------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take what the feed has gathered."""
        items = self.feed.drain()
        for item in items:
            self.run.apply(item)
            if isinstance(item, Ended):
                self.exit_code = item.code
        self._taken += items

    @while_mounted
    def drain(self) -> None:
        """Take what the feed has gathered, and show it if it is time to."""
        self._take()
        items, self._taken = self._taken, []
        ending = self.run.outcome if self.run.outcome is not self._outcome else None
        self._outcome = self.run.outcome
        second = int(self.run.pace.elapsed())
        self._news = self._news or bool(items) or second != self._second
        self._urgent = self._urgent or any(not isinstance(item, Step | Telemetry) for item in items)
        self._second = second
        waited = time.monotonic() - self._shown_at + _SLACK
        if ending is not None:
            self.redraw()
        elif self._news and waited >= (SOONEST if self._urgent else REDRAW_EVERY):
            self._show(now=False)
        elif self._unsettled and not self._news and waited >= _SETTLE_AFTER:
            self.redraw()  # what was shown may have been held back, and nothing more comes
        self.took(items, ending)

    def took(self, items: list[Item], ending: Outcome | None) -> None:
        """For those who do more than look: what came, and how the run ended if it just did."""

    def shown(self) -> None:
        """For those who do more than look: everything was brought up to date."""

    def redraw(self) -> None:
        """Show everything as it is now."""
        self._show(now=True)

    @while_mounted
    def _show(self, *, now: bool) -> None:
        self._news = self._urgent = False
        self._shown_at, self._unsettled = time.monotonic(), not now
        run = self.run
        about = [self.feed.role, run.preset, run.model, run.runtime, run.device, run.dtype]
        self.query_one(HeaderLine).show(run.name, "  ·  ".join(part for part in about if part))
        self.query_one(StatusLine).refresh_status(run)
        log = self.query_one(LogPane)
        log.refresh_events(run)
        log.refresh_signal(run, now=now)
        self.query_one(SignalPane).refresh_signal(run, now=now)
        self.query_one(Verdict).refresh_verdict(run, self.feed.run)
        self.query_one(Tiles).refresh_figures(run, now=now)
        for chart in self.query(SeriesChart):
            chart.refresh_curve(run, now=now)
        self.update_classes(self._end_classes())
        self.shown()

    def _end_classes(self) -> dict[str, bool]:
        end = self.run.end
        return {"-ended": end is not None, "-died": end in ("died", "refused")}

    def _size_classes(self) -> dict[str, bool]:
        """Those that Textual gives a screen for its size, once it has arranged it."""
        told = zip(self.app.size, (self.app.HORIZONTAL_BREAKPOINTS, self.app.VERTICAL_BREAKPOINTS), strict=True)
        return {max(one for one in breakpoints or [] if one[0] <= size)[1]: True for size, breakpoints in told}

    # -- looking --------------------------------------------------------------------------------

    def back(self) -> bool:
        """From one pane to all, from inspecting to watching; False if there is nothing to go back from."""
        inspecting = [chart for chart in self.query(SeriesChart) if chart.plot.cursor is not None]
        if self.panes.maximised is not None:
            self.action_maximise()
            return True
        for chart in inspecting:
            chart.plot.inspect(None)
        return bool(inspecting)

    def action_chart(self, what: str) -> None:
        """Ask something of the chart that has the focus, or else of the main one."""
        within = self.focused.ancestors_with_self if self.focused is not None else ()
        focused = next((node for node in within if isinstance(node, SeriesChart)), None)
        chart = focused or self.query_one("#main-chart", SeriesChart)
        {
            "next": lambda: chart.turn(1),
            "before": lambda: chart.turn(-1),
            "smoother": lambda: chart.smooth(1),
            "rougher": lambda: chart.smooth(-1),
            "values": chart.toggle_inspect,
            "log": chart.toggle_log,
            "follow": chart.plot.follow,
        }[what]()

    def action_pane(self, name: str) -> None:
        """Show or hide a pane; one that gave way to the end of the run is shown alone."""
        pane = self.query_one(f"#{name}")
        if self.panes.maximised is None and pane.display and not all(node.display for node in pane.ancestors):
            self.panes.maximise(pane)
        else:
            self.panes.toggle(name)
        self.call_after_refresh(self.redraw)

    def action_maximise(self) -> None:
        """The pane that has the focus alone, or all of them again."""
        self.panes.maximise(self.focused)
        self.call_after_refresh(self.redraw)

    def action_filter(self) -> None:
        """Type what the lines of the log are to hold."""
        log = self.query_one(LogPane)
        if not all(node.display for node in log.ancestors_with_self):
            self.action_pane("events")
        log.ask_filter()

    def action_level(self) -> None:
        """Show the graver lines of the log only."""
        self.query_one(LogPane).next_level()
