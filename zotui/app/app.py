"""The app itself: which screen is open, and what leaving means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from textual import on

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from zotui.app.base import BaseApp
from zotui.app.cockpit.layout import Choices
from zotui.app.cockpit.screen import Cockpit
from zotui.app.compare.screen import Compare
from zotui.app.kit.dialogs import Message
from zotui.app.start.screen import Start
from zotui.app.state.feed import EngineFeed, Feed, RecordsFeed
from zotui.engines.attached import AttachedEngine
from zotui.engines.keeper import SpareKeeper
from zotui.engines.launched import EngineProcess, start_engine
from zotui.text import numbers
from zotui.text.output import talk
from zotui.text.run_names import farewell, stops_when_left

_FIRST_LOOK = 0.5  # seconds after the first screen until a spare engine is made: that is to be drawn first
_LOOK_EVERY = 2.0  # seconds


class ZotuiApp(BaseApp):
    """Start screen and cockpit. Returns the exit code for the shell."""

    TITLE = "zotui"
    HORIZONTAL_BREAKPOINTS = [
        (0, "-narrow"),
        (100, "-normal"),
        (160, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall"), (52, "-huge")]

    def __init__(
        self,
        feed: Feed | None = None,
        *,
        keeper: SpareKeeper | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        """`keeper` starts the engines that are started from the start screen, and keeps a spare one at hand."""
        super().__init__()
        self._feed = feed
        self._keeper = keeper
        self._clock, self._wall, self._local = clock, wall, local
        self._cockpit: Cockpit | None = None  # the last one opened
        self._left: dict[Path, tuple[RunDir, bool]] = {}  # what was left while it was live, and whether it was held
        self.refusal = ""  # why what the app was opened on would not start
        self._panes = Choices()
        self._forking = False

    def on_mount(self) -> None:
        """Open the screen that was asked for."""
        if self._feed is None:
            self.push_screen(Start(self._wall))
            if self._keeper is not None and self._config.ui.spare_engine:
                self.set_timer(_FIRST_LOOK, self._keep_spare)
                self.set_interval(_LOOK_EVERY, self._keep_spare)
        else:
            self._open(self._feed)

    async def action_quit(self) -> None:
        """Leave; a live run is asked about first."""
        if self.cockpit is None:
            self.exit(EXIT_DONE)
        else:
            self.cockpit.action_leave(quitting=True)

    @property
    def cockpit(self) -> Cockpit | None:
        """The cockpit, when one is open, whatever dialog lies over it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, Cockpit)), None)

    def _keep_spare(self) -> None:
        cockpit = self.cockpit
        if self._keeper is not None:
            self._keeper.keep(beside_a_run=cockpit is not None and cockpit.run.live)

    def _start(self, run: RunDir, *, resume: bool = False) -> EngineProcess:
        return (start_engine if self._keeper is None else self._keeper.start)(run, resume=resume)

    def _start_again(self, feed: Feed) -> Feed:
        return EngineFeed(self._start(feed.run, resume=True), knows_the_past=True)

    # -- what the start screen asks for ---------------------------------------------------------

    @on(Start.Launch)
    def launch(self, message: Start.Launch) -> None:
        """Make the run's directory and start its engine."""
        if self.cockpit is None:
            preset, name = message.preset, message.name
            self._engage(lambda: self._start(RunDir.create(preset, name)), name)

    @on(Start.Resume)
    def resume(self, message: Start.Resume) -> None:
        """Start an engine that goes on with a run."""
        if self.cockpit is None:
            self._engage(lambda: self._start(message.run, resume=True), message.run.name)

    @on(Start.Look)
    def look(self, message: Start.Look) -> None:
        """Open a run: attached to its engine while it is live, else its records."""
        if message.run.is_live():
            self.run_worker(self._attach_to(message.run), exclusive=True)
        elif self.cockpit is None:
            self._open(RecordsFeed(message.run))

    @on(Start.Compare)
    def compare(self, message: Start.Compare) -> None:
        """Set runs side by side."""
        self.push_screen(Compare(message.runs))

    async def _attach_to(self, run: RunDir) -> None:
        feed: Feed
        try:
            feed = EngineFeed(await asyncio.to_thread(AttachedEngine, run))
        except UserError as error:
            self.notify(str(error), title="only its records can be watched", severity="warning", markup=False)
            feed = RecordsFeed(run)
        if self.cockpit is None:
            self._open(feed)
        else:
            feed.close()

    def _engage(self, start: Callable[[], EngineProcess], name: str) -> None:
        try:
            engine = start()
        except (UserError, OSError) as error:
            self.notify(str(error), title=f"{name} cannot run", severity="error", markup=False)
            return
        self._open(EngineFeed(engine))

    def _open(self, feed: Feed) -> None:
        self._cockpit = Cockpit(
            feed, self._start_again, clock=self._clock, wall=self._wall, local=self._local, choices=self._panes
        )
        self.push_screen(self._cockpit)

    # -- what the cockpit reports ---------------------------------------------------------------

    @on(Cockpit.Left)
    def left(self, message: Cockpit.Left) -> None:
        """Back to the start screen, or out when there is none."""
        cockpit = self.cockpit
        if cockpit is None:
            return
        held = bool(cockpit.run.fault)
        if message.live:
            self._left[cockpit.feed.run.path] = cockpit.feed.run, held
        if message.quitting or self._feed is not None:
            left_well = self._feed is None or (message.live and not held)
            self.exit(EXIT_DONE if left_well else exit_code(cockpit))
        else:
            while self.screen is not cockpit:  # a dialog over it
                self.pop_screen()
            self.pop_screen()

    @on(Cockpit.Fork)
    def fork(self, message: Cockpit.Fork) -> None:
        """Make the new run and go over to it; the one that it comes from goes on if it is live."""
        if self.cockpit is not None and not self._forking:
            self._forking = True
            self.cockpit.run.note("ask", f"fork after step {numbers.count(message.step)} requested")
            self.run_worker(self._fork(message, self.cockpit))

    async def _fork(self, message: Cockpit.Fork, cockpit: Cockpit) -> None:
        try:
            # On a thread: where a checkpoint cannot be linked it is copied.
            forked = await asyncio.to_thread(fork, message.run, message.step, message.changes)
            if self.screen is not cockpit:  # something else is looked at by now
                self.notify(f"{forked.name} is among the runs, to be resumed", title="forked", markup=False)
                return
            engine = self._start(forked, resume=True)
        except (UserError, OSError) as error:
            self.notify(str(error), title="cannot be forked", severity="error", markup=False)
            return
        finally:
            self._forking = False
        if message.live:
            self._left[message.run.path] = message.run, bool(cockpit.run.fault)
        self.pop_screen()
        self._open(EngineFeed(engine))

    @on(Cockpit.Resumed)
    def resumed(self, message: Cockpit.Resumed) -> None:
        """Steer the engine that another app has started."""
        if isinstance(self.screen, Cockpit):
            self.pop_screen()
            self.run_worker(self._attach_to(message.run), exclusive=True)

    @on(Cockpit.Refused)
    def refused(self, message: Cockpit.Refused) -> None:
        """The engine would not start: say why where it will be seen."""
        if self._feed is not None:
            self.refusal = message.text
            cockpit = self.cockpit
            self.exit(EXIT_FAILED if cockpit is not None and cockpit.exit_code == EXIT_FAILED else EXIT_USAGE)
        else:
            while len(self.screen_stack) > 1 and not isinstance(self.screen, Start):
                self.pop_screen()
            self.push_screen(Message("the engine refused to start", message.text))

    def last_words(self) -> list[str]:
        """What to say on the terminal once the app is gone: which runs go on without it, and the way back to them."""
        left = [(run, held) for run, held in self._left.values() if held or stops_when_left(run) or run.is_live()]
        lines = [farewell(run, held) for run, held in left]
        cockpit = self._cockpit
        feed = cockpit.feed if cockpit is not None else self._feed
        crashed = self.return_code != 0 and isinstance(feed, EngineFeed) and feed.engine.alive()
        if crashed and feed is not None and feed.run.path not in self._left:
            held = cockpit is not None and bool(cockpit.run.fault)
            lines.append(f"zotui: the app ended; {farewell(feed.run, held)}")
        return lines


def exit_code(cockpit: Cockpit) -> int:
    """The engine's exit code, or what it will be as far as that can be told; 0 for a view of records."""
    if not isinstance(cockpit.feed, EngineFeed):
        return EXIT_DONE
    if cockpit.exit_code is not None:
        return cockpit.exit_code
    kind = cockpit.run.outcome.kind if cockpit.run.outcome is not None else ""
    return {"finished": EXIT_DONE, "stopped": EXIT_INTERRUPTED}.get(kind, EXIT_FAILED)


def run(launch: EngineProcess | AttachedEngine | RunDir | None) -> int:
    """Run the app to its end; see `zotui.app.run_app`."""
    feed: Feed | None = None
    if isinstance(launch, EngineProcess | AttachedEngine):
        feed = EngineFeed(launch)
    elif launch is not None:
        feed = RecordsFeed(launch)
    keeper = SpareKeeper()
    app = ZotuiApp(feed, keeper=keeper)
    try:
        code = app.run()
    finally:
        keeper.close()
        for line in app.last_words():
            talk(line)
    if app.refusal:
        talk(app.refusal)
    return code if code is not None else (app.return_code or EXIT_DONE)
