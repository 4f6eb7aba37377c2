"""The cockpit: one run, watched and steered."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import Footer

from engine.errors import UserError
from engine.messages import AnyCommand, Evaluate, Pause, Resume, Save, Stop
from zotui.app.feed import Ended, EngineFeed, Feed
from zotui.app.screens.dialogs import Question
from zotui.app.screens.help import COCKPIT_KEYS, Help
from zotui.app.screens.leaving import leaving
from zotui.app.screens.take_away import TakeAway
from zotui.app.state import Asked, Outcome, RunState
from zotui.app.widgets.evaluation_chart import EvaluationChart
from zotui.app.widgets.events import EventLog
from zotui.app.widgets.header import HeaderLine
from zotui.app.widgets.loss_chart import LossChart
from zotui.app.widgets.status import StatusLine
from zotui.app.widgets.tiles import Tiles
from zotui.app.widgets.verdict import Verdict
from zotui.launch import EngineProcess

DRAIN_EVERY = 0.2
REDRAW_EVERY = 0.5


class Cockpit(Screen[None]):
    """Watches a feed: five times a second takes what came, twice a second redraws the charts."""

    DEFAULT_CSS = """
    Cockpit { layout: vertical; background: $background; }
    Cockpit #body {
        height: 1fr;
        grid-size: 2 2;
        grid-columns: 3fr 2fr;
        grid-rows: 1fr 6;
    }
    Cockpit #events { column-span: 2; }
    Cockpit.-tall #body { grid-rows: 2fr 1fr; }
    Cockpit.-huge #body { grid-rows: 2fr 1fr; }
    Cockpit.-wide #body { grid-rows: 1fr 1fr; }
    Cockpit.-wide #loss-chart { row-span: 2; }
    Cockpit.-wide #events { column-span: 1; }
    Cockpit.-short.-ended #body, Cockpit.-tall.-died #body { grid-size: 2 1; grid-rows: 1fr; }
    Cockpit.-short.-ended #events, Cockpit.-tall.-died #events { display: none; }
    Cockpit.-short.-died Tiles, Cockpit.-short.-died #body { display: none; }
    """
    AUTO_FOCUS = ""
    BINDINGS = [
        Binding("space", "pause", "pause"),
        Binding("space", "go_on", "resume"),
        Binding("r", "resume", "resume"),
        Binding("c", "checkpoint", "checkpoint"),
        Binding("e", "evaluate", "evaluate"),
        Binding("s", "stop", "stop and save"),
        Binding("y", "take_away", "take away", show=False),
        Binding("q", "leave", "quit"),
        Binding("escape", "back", "back", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
    ]

    class Refused(TextualMessage):
        """The engine refused what it was given before its first step."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(TextualMessage):
        """The user is done here; `quitting` when the whole app was to end too, `live` when the run is left alive."""

        def __init__(self, *, quitting: bool = False, live: bool = False) -> None:
            super().__init__()
            self.quitting, self.live = quitting, live

    def __init__(
        self,
        feed: Feed,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
        relaunch: Callable[[Feed], Feed] | None = None,
    ) -> None:
        super().__init__()
        self.feed = feed
        self.run = RunState(feed.run.name, clock, wall)
        self.exit_code: int | None = None
        self._local = local
        self._relaunch = relaunch or _resume_engine
        self._quit_when_ended = False
        self._resumed_here = False
        self._footer_shows: object = None
        self._second = -1

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        yield StatusLine()
        yield Tiles()
        yield Verdict()
        with Grid(id="body"):
            yield LossChart()
            yield EvaluationChart()
            yield EventLog(self._local)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to watch."""
        self.feed.start()
        self.set_interval(DRAIN_EVERY, self.drain)
        self.set_interval(REDRAW_EVERY, self.redraw)
        self._show()

    def on_unmount(self) -> None:
        """Nobody watches any more."""
        self.feed.close()

    # -- watching -------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take what the feed has gathered."""
        items = self.feed.drain()
        second = int(self.run.pace.elapsed())
        if not items and second == self._second:  # nothing to say, not even the time
            return
        self._second = second
        before = self.run.outcome
        for item in items:
            self.run.apply(item)
            if isinstance(item, Ended):
                self.exit_code = item.code
        self._show()
        if self.run.outcome is not None and before is None:
            self._ended(self.run.outcome)
        if self._quit_when_ended and any(isinstance(item, Ended) for item in items):
            if self.run.outcome is not None and self.run.outcome.kind != "died":
                self.post_message(self.Left(quitting=True))
            self._quit_when_ended = False

    def redraw(self) -> None:
        """Draw the charts and tiles again where they changed and can be seen."""
        self.query_one(LossChart).refresh_curve(self.run)
        self.query_one(EvaluationChart).refresh_curve(self.run)
        self.query_one(Tiles).refresh_figures(self.run)
        self.query_one(EventLog).refresh_signal(self.run)

    def _show(self) -> None:
        run = self.run
        about = [self.feed.role, run.preset, run.model, run.runtime, run.device, run.dtype]
        self.query_one(HeaderLine).show(run.name, "  ·  ".join(part for part in about if part))
        self.query_one(StatusLine).refresh_status(run)
        self.query_one(EventLog).refresh_events(run)
        self.query_one(Verdict).refresh_verdict(run, self.feed.run)
        self.set_class(run.outcome is not None, "-ended")
        self.set_class(run.outcome is not None and run.outcome.kind in ("died", "refused"), "-died")
        footer = (run.live, run.holding, run.outcome, self._quit_when_ended, run.asked)
        if footer != self._footer_shows:
            self._footer_shows = footer
            self.refresh_bindings()

    def _ended(self, outcome: Outcome) -> None:
        if isinstance(self.app.screen, Question):
            self.app.pop_screen()  # what it asks about is over
        if outcome.kind == "refused" and not self._resumed_here:
            self.post_message(self.Refused(outcome.text))

    # -- steering -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Which keys are there now."""
        run = self.run
        steerable = run.live and run.asked != "stopping" and run.state != "stopping"
        match action:
            case "pause":
                return steerable and not run.holding
            case "go_on":
                return steerable and run.holding
            case "checkpoint" | "evaluate" | "stop":
                return steerable
            case "resume":
                return run.outcome is not None and run.outcome.resumable
            case _:
                return True

    def action_pause(self) -> None:
        """Hold after the step in flight."""
        self._tell(Pause(), "pausing")

    def action_go_on(self) -> None:
        """Go on after a pause."""
        self._tell(Resume(), "resuming")

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        self._tell(Save(), "checkpoint")

    def action_evaluate(self) -> None:
        """Evaluate now."""
        self._tell(Evaluate(), "evaluation")

    def action_stop(self) -> None:
        """Save and end the run; the cockpit stays."""
        self._tell(Stop(), "stopping")

    def action_resume(self) -> None:
        """Start an engine that goes on where the last one ended."""
        try:
            feed = self._relaunch(self.feed)
        except (UserError, OSError) as error:
            self.notify(str(error), title="cannot resume", severity="error", markup=False)
            return
        self.feed.close()
        self.feed, self._resumed_here, self.exit_code = feed, True, None
        self.run.begin_again()
        feed.start()
        self._show()

    def action_take_away(self) -> None:
        """Copy values, or write them into files."""
        self.app.push_screen(TakeAway([self.feed.run]))

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(COCKPIT_KEYS))

    def action_back(self) -> None:
        """Escape leaves what is over; a live run is left with q only."""
        if not self.run.live:
            self.action_leave()

    def action_leave(self) -> None:
        """Leave, or ask first while the engine is at work."""
        if not self.run.live:
            self.post_message(self.Left())
        elif not isinstance(self.app.screen, Question):
            question = leaving(self.run, self.feed.run, killable=self._launched is not None)
            self.app.push_screen(question, self._answered)

    def _answered(self, answer: str | None) -> None:
        if not self.run.live:  # it ended while the question stood
            return
        if answer == "leave":
            self.post_message(self.Left(live=True))
        elif answer == "stop":
            self._quit_when_ended = True
            self._tell(Stop(), "stopping")
        elif answer == "kill" and self._launched is not None:
            self._launched.kill()
            self.post_message(self.Left(quitting=True))

    @property
    def _launched(self) -> EngineProcess | None:
        """The engine, if this app launched it."""
        engine = self.feed.engine if isinstance(self.feed, EngineFeed) else None
        return engine if isinstance(engine, EngineProcess) else None

    def _tell(self, command: AnyCommand, asked: Asked | str) -> None:
        if self.feed.send(command):
            self.run.ask(asked)  # type: ignore[arg-type]
        else:
            self.run.note("warning", "the engine no longer listens")
        self._show()


def _resume_engine(feed: Feed) -> Feed:
    return EngineFeed(EngineProcess(feed.run, resume=True), knows_the_past=True)
