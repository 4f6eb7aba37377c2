"""The cockpit: one run, watched and steered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.binding import Binding
from textual.message import Message as TextualMessage

from engine.errors import UserError
from engine.protocol.commands import AnyCommand, Change, Evaluate, Pause, Resume, Save, Stop
from engine.runs.directory import RunDir
from engine.runs.fork import place
from zotui.app import glossary
from zotui.app.cockpit.alerts import FeedNotices, Noticed
from zotui.app.cockpit.changing import change_dialog, change_of, fork_dialog, fork_of
from zotui.app.cockpit.leaving import leaving
from zotui.app.cockpit.live_view import LiveView
from zotui.app.cockpit.try_it import TryIt
from zotui.app.cockpit.whom import LiveRun, PastRun
from zotui.app.kit.ask_fields import Fields
from zotui.app.kit.dialogs import Question
from zotui.app.kit.help import Help
from zotui.app.kit.take_away import TakeAway
from zotui.app.state.feed import Ended, EngineFeed, Feed, Item
from zotui.app.state.outcome import Outcome
from zotui.app.state.run_state import Asked
from zotui.engines.launched import EngineProcess
from zotui.text.tried import options_of

_STEER = ("pause", "checkpoint", "evaluate", "stop", "change", "try")
_OF_THE_MOMENT = ("pause", "go_on", "stop", "resume", "try")  # one of each kind that `check_action` tells apart


class Cockpit(LiveView):
    """The live view of a run, with the keys that steer it."""

    BINDINGS = [
        Binding(
            "space", "pause", "pause", id="cockpit.pause",
            tooltip="pause after the step in flight, or go on; works during start-up too",
        ),
        Binding("space", "go_on", "resume", id="cockpit.pause"),
        Binding("r", "resume", "resume", id="cockpit.resume", tooltip="resume a run that stopped, failed or died"),
        Binding("c", "checkpoint", "save", show=False, id="cockpit.checkpoint", tooltip="write a checkpoint now"),
        Binding("e", "evaluate", "evaluate", id="cockpit.evaluate", tooltip="evaluate on the held-out examples now"),
        Binding(
            "s", "stop", "stop", id="cockpit.stop",
            tooltip="finish the step in flight, save a checkpoint and end the run",
        ),
        Binding(
            "q", "leave", "quit", id="cockpit.leave",
            tooltip="leave; while the run is live it asks whether to leave it running",
        ),
        Binding(
            "l", "change", "change", id="cockpit.change",
            tooltip="change the learning rate, eps or the evaluation interval, from the next step on",
        ),
        Binding(
            "p", "try", "try", id="cockpit.try",
            tooltip="try a prompt or an example: the weights as they are beside the base model",
        ),
        Binding(
            "f", "fork", "fork", show=False, id="cockpit.fork",
            tooltip="a new run from a step of this one, with other settings",
        ),
        Binding(
            "y", "take_away", "take away", show=False, id="cockpit.take_away",
            tooltip="take away: copy the values, or write them and their charts into files",
        ),
        Binding(
            "escape", "back", "back", show=False, id="cockpit.back",
            tooltip="end a filter, values or a single pane; else leave a run that is not live",
        ),
        Binding(
            "tab", "app.focus_next", "next pane", show=False, id="cockpit.next_pane",
            tooltip="move between charts and log; arrows then pan or scroll",
        ),
        Binding("question_mark,f1", "help", "help", id="cockpit.help", tooltip="this help"),
    ]  # fmt: skip
    BINDINGS += [
        replace(one, action="no_engine", description="", show=False, tooltip="")
        for one in BINDINGS
        if isinstance(one, Binding) and one.action in _STEER
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

    class Resumed(TextualMessage):
        """Another engine has taken `run` up."""

        def __init__(self, run: RunDir) -> None:
            super().__init__()
            self.run = run

    class Fork(TextualMessage):
        """Begin a new run where `run` was after `step` steps, with these changes."""

        def __init__(self, run: RunDir, step: int, changes: list[str], *, live: bool) -> None:
            super().__init__()
            self.run, self.step, self.changes, self.live = run, step, changes, live

    def __init__(self, feed: Feed, relaunch: Callable[[Feed], Feed], **looks: Any) -> None:
        """`relaunch` resumes a feed's run; `looks` are the clocks and choices of a `LiveView`."""
        super().__init__(feed, **looks)
        self._notices = FeedNotices(feed.run)
        self._relaunch = relaunch
        self._leave_when_ended = False
        self._quits = False  # whether leaving was to end the app
        self._resumed_here = False
        self._footer_shows: list[bool | None] = []

    def shown(self) -> None:
        """The keys of the footer depend on what the run does."""
        footer = [self.check_action(action, ()) for action in _OF_THE_MOMENT]
        if footer != self._footer_shows:
            self._footer_shows = footer
            self.refresh_bindings()

    def took(self, items: list[Item], ending: Outcome | None) -> None:
        """What follows from what came, and from the end of a run or of its engine."""
        for item in items:
            if notice := self._notices.see(item):
                self.post_message(Noticed(notice))
        if ending is not None and isinstance(self.app.screen, Question):
            self.app.pop_screen()  # what it asks about is over
        if ending is not None and ending.kind == "refused" and not self._resumed_here:
            self.post_message(self.Refused(ending.text))
        if self._leave_when_ended and any(isinstance(item, Ended) for item in items):
            if self.run.outcome is not None and self.run.outcome.kind != "died":
                self.post_message(self.Left(quitting=self._quits))
            self._leave_when_ended = False

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
            case "checkpoint" | "evaluate" | "stop" | "change":
                return steerable
            case "try":
                return steerable or (run.outcome is not None and run.outcome.kind != "refused")
            case "no_engine":
                return not run.live
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

    def action_change(self) -> None:
        """Change how the run goes on, from the next step."""
        if (now := self.run.in_force) is None:
            self._refuse(UserError(f"{self.feed.run.preset_file}: cannot be read; put it back to change the run"))
        else:
            self._ask(change_dialog(now), self._change)

    def _change(self, texts: dict[str, str]) -> None:
        change = change_of(texts)
        if change != Change() and not self.feed.send(change):
            self.run.note("warning", "the engine no longer listens")

    def action_try(self) -> None:
        """A prompt, answered by the weights as they are beside the base model's."""
        whom = LiveRun(self.run, self.feed.send) if self.run.live else PastRun(self.feed.run)
        self.app.push_screen(TryIt(whom, options_of(self.run.resolved)))

    def action_fork(self) -> None:
        """A new run from here, with other settings."""
        run = self.feed.run

        def fork(texts: dict[str, str]) -> None:
            step, changes = fork_of(texts, first.step)
            self.post_message(self.Fork(run, step, changes, live=self.run.live))

        try:
            first = place(run)
            self._ask(fork_dialog(run, first), fork)
        except UserError as error:
            self._refuse(error)

    def _ask(self, dialog: Fields, then: Callable[[dict[str, str]], object]) -> None:
        """Open a dialog and act on its answer."""

        def answered(texts: dict[str, str] | None) -> None:
            if texts is not None:
                then(texts)

        self.app.push_screen(dialog, answered)

    def _refuse(self, error: UserError) -> None:
        self.notify(str(error), severity="error", markup=False)

    def action_stop(self) -> None:
        """Save and end the run; the cockpit stays."""
        self._tell(Stop(), "stopping")

    def action_resume(self) -> None:
        """Start an engine that goes on where the last one ended; or go over to one that somebody else has started."""
        if self.feed.run.is_live():
            self.post_message(self.Resumed(self.feed.run))
            return
        try:
            feed = self._relaunch(self.feed)
        except (UserError, OSError) as error:
            self.notify(str(error), title="cannot resume", severity="error", markup=False)
            return
        self.feed.close()
        self.feed, self._resumed_here, self.exit_code = feed, True, None
        self._notices.begin_again()
        self.run.begin_again()
        feed.start()
        self.redraw()

    def action_no_engine(self) -> None:
        """A key that steers, where there is nothing to steer."""
        outcome = self.run.outcome
        if outcome is None:
            why = "this is a view of its records: `zotui attach` steers it, once its engine can be reached"
        elif outcome.resumable:
            why = "no engine is at work: r resumes the run, f begins a new one from it"
        else:
            why = "the run is over: f begins a new one from it"
        self.notify(why, severity="warning", markup=False)

    def action_take_away(self) -> None:
        """Copy values, or write them into files."""
        self.app.push_screen(TakeAway([self.feed.run]))

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.COCKPIT))

    def action_back(self) -> None:
        """Escape leaves what is over, once there is nothing else to go back from; a live run is left with q only."""
        if not self.back() and not self.run.live:
            self.action_leave()

    def action_leave(self, quitting: bool = False) -> None:
        """Leave, or ask first while the engine is at work; `quitting` if the app is to end then."""
        self._quits = quitting
        if not self.run.live:
            self.post_message(self.Left(quitting=quitting))
        elif not isinstance(self.app.screen, Question):
            question = leaving(self.run, self.feed.run, killable=self._launched is not None)
            self.app.push_screen(question, self._answered)

    def _answered(self, answer: str | None) -> None:
        if not self.run.live:  # it ended while the question stood
            return
        if answer == "leave":
            self.post_message(self.Left(quitting=self._quits, live=True))
        elif answer == "stop":
            self._leave_when_ended = True
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
        self.redraw()
