"""The start screen: what can be run, and what was."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import DataTable, OptionList

from engine.rundir import RunDir, all_runs
from zotui.app.screens.help import Help
from zotui.app.widgets.detail import Detail
from zotui.app.widgets.header import HeaderLine
from zotui.app.widgets.key_bar import KeyBar
from zotui.app.widgets.preset_list import Choice, PresetList, choices
from zotui.app.widgets.run_list import RunList

REFRESH_EVERY = 5.0


class Start(Screen[None]):
    """Presets and runs."""

    DEFAULT_CSS = """
    Start { layout: vertical; background: $background; }
    Start #panes { height: 1fr; layout: vertical; }
    Start #lists { height: 1fr; width: 1fr; }
    Start #presets { height: 2fr; }
    Start #runs { height: 3fr; }
    Start #detail { height: 12; display: none; }
    Start.-tall #detail, Start.-huge #detail { display: block; }
    Start.-wide #panes { layout: horizontal; }
    Start.-wide #lists { width: 3fr; }
    Start.-wide #detail { display: block; width: 2fr; height: 1fr; }
    """
    AUTO_FOCUS = "#presets"
    BINDINGS = [
        Binding("tab", "app.focus_next", "presets/runs", id="start.next_pane", tooltip="move between presets and runs"),
        Binding("f5", "reload", "reload", show=False, id="start.reload", tooltip="read the lists again"),
        Binding("q", "app.quit", "quit", id="start.quit", tooltip="leave"),
        Binding("question_mark", "help", "help", id="start.help", tooltip="this help"),
    ]

    class Launch(TextualMessage):
        """Start a run of this preset."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    class Look(TextualMessage):
        """Open this run: to steer it while it is live, else its records."""

        def __init__(self, run: RunDir) -> None:
            super().__init__()
            self.run = run

    class Resume(TextualMessage):
        """Go on with this run."""

        def __init__(self, run: RunDir) -> None:
            super().__init__()
            self.run = run

    class Compare(TextualMessage):
        """Set these runs side by side."""

        def __init__(self, runs: list[RunDir]) -> None:
            super().__init__()
            self.runs = runs

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._wall = wall

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        with Container(id="panes"):
            with Vertical(id="lists"):
                yield PresetList()
                yield RunList()
            yield Detail()
        yield KeyBar()

    def on_mount(self) -> None:
        """Fill the lists, and keep them fresh while they are looked at."""
        self.set_interval(REFRESH_EVERY, self._reload_if_seen)

    def on_screen_resume(self) -> None:
        """Back from a cockpit: things have changed."""
        self.call_after_refresh(self.action_reload)

    def on_resize(self) -> None:
        """The columns of the runs follow the width."""
        self.call_after_refresh(self.action_reload)

    def action_reload(self) -> None:
        """Read presets and runs again."""
        found, runs = choices(), [run.summary() for run in all_runs()]
        self.query_one(PresetList).show(found)
        self.query_one(RunList).show(runs, self._wall())
        live = sum(run.standing == "live" for run in runs)
        about = f"{len(found)} presets  ·  {len(runs)} runs" + (f"  ·  {live} live" if live else "")
        self.query_one(HeaderLine).show("fine-tune an LLM on your own GPU", about)
        self._explain()

    def _reload_if_seen(self) -> None:
        if self.app.screen is self:
            self.action_reload()

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self))

    def action_resume_run(self) -> None:
        """Resume the run under the cursor."""
        chosen = self.query_one(RunList).chosen
        if chosen is None:
            return
        if chosen.standing in ("live", "finished"):
            why = "is live: enter attaches to it" if chosen.standing == "live" else "is finished: nothing is left to do"
            self.notify(f"{chosen.name} {why}", severity="warning", markup=False)
            return
        self.post_message(self.Resume(RunDir.find(chosen.path)))

    def action_compare_runs(self) -> None:
        """Set the marked runs side by side."""
        marked = self.query_one(RunList).marked
        if len(marked) < 2:
            self.notify("mark two runs or more with space, then x compares them", severity="warning")
            return
        self.post_message(self.Compare([RunDir.find(path) for path in marked]))

    @on(OptionList.OptionSelected, "#presets")
    def launch(self) -> None:
        """Enter on a preset."""
        choice = self.query_one(PresetList).chosen
        if choice is None:
            return
        if choice.preset is None:
            self.notify(choice.fault, title=f"{choice.name} cannot run", severity="error", markup=False)
            return
        self.post_message(self.Launch(choice))

    @on(DataTable.RowSelected, "#runs")
    def look(self) -> None:
        """Enter on a run."""
        chosen = self.query_one(RunList).chosen
        if chosen is not None:
            self.post_message(self.Look(RunDir.find(chosen.path)))

    @on(OptionList.OptionHighlighted, "#presets")
    @on(DataTable.RowHighlighted, "#runs")
    def moved(self) -> None:
        """Another line is under the cursor."""
        self._explain()

    def on_descendant_focus(self) -> None:
        """Another list has the cursor."""
        self._explain()

    def _explain(self) -> None:
        detail, runs = self.query_one(Detail), self.query_one(RunList)
        choice = self.query_one(PresetList).chosen
        if runs.has_focus and runs.chosen is not None:
            detail.show_run(runs.chosen)
        elif choice is not None:
            detail.show_preset(choice)
        else:
            detail.clear()
