"""The cockpit: one run, watched and steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.binding import Binding
from textual.message import Message as TextualMessage

from engine.errors import UserError
from engine.messages import AnyCommand, Evaluate, Pause, Resume, Save, Stop
from zotui.app.feed import Ended, EngineFeed, Feed, Item
from zotui.app.outcome import Outcome
from zotui.app.screens.dialogs import Question
from zotui.app.screens.help import COCKPIT_KEYS, Help
from zotui.app.screens.leaving import leaving
from zotui.app.screens.live_view import LiveView
from zotui.app.state import Asked
from zotui.launch import EngineProcess


class Cockpit(LiveView):
    """The live view of a run, with the keys that steer it."""

    BINDINGS = [
        Binding("space", "pause", "pause"),
        Binding("space", "go_on", "resume"),
        Binding("r", "resume", "resume"),
        Binding("c", "checkpoint", "checkpoint"),
        Binding("e", "evaluate", "evaluate"),
        Binding("s", "stop", "stop and save"),
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

    def __init__(self, feed: Feed, *, relaunch: Callable[[Feed], Feed] | None = None, **looks: Any) -> None:
        """`looks` are the clocks and choices of a `LiveView`."""
        super().__init__(feed, **looks)
        self._relaunch = relaunch or _resume_engine
        self._quit_when_ended = False
        self._resumed_here = False
        self._footer_shows: object = None

    def shown(self) -> None:
        """The keys of the footer depend on what the run does."""
        run = self.run
        footer = (run.live, run.holding, run.outcome, self._quit_when_ended, run.asked)
        if footer != self._footer_shows:
            self._footer_shows = footer
            self.refresh_bindings()

    def took(self, items: list[Item], ending: Outcome | None) -> None:
        """What follows from the end of a run, or of its engine."""
        if ending is not None and isinstance(self.app.screen, Question):
            self.app.pop_screen()  # what it asks about is over
        if ending is not None and ending.kind == "refused" and not self._resumed_here:
            self.post_message(self.Refused(ending.text))
        if self._quit_when_ended and any(isinstance(item, Ended) for item in items):
            if self.run.outcome is not None and self.run.outcome.kind != "died":
                self.post_message(self.Left(quitting=True))
            self._quit_when_ended = False

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
        self.redraw()

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(COCKPIT_KEYS))

    def action_back(self) -> None:
        """Escape leaves what is over, once there is nothing else to go back from; a live run is left with q only."""
        if not self.back() and not self.run.live:
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
        self.redraw()


def _resume_engine(feed: Feed) -> Feed:
    return EngineFeed(EngineProcess(feed.run, resume=True), knows_the_past=True)
