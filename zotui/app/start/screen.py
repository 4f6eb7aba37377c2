"""The start screen: what can be run, and what was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import DataTable, Input, OptionList

from engine.errors import UserError
from engine.preset.schema import Preset
from engine.runs.directory import RunDir, Summary, all_runs
from zotui.app import glossary
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.preset.form import Form
from zotui.app.preset.own_data.screen import OwnData, Saved
from zotui.app.preset.preflight import Preflight
from zotui.app.start.default_model import default_model
from zotui.app.start.deleting import delete_preset, delete_run
from zotui.app.start.detail import Detail
from zotui.app.start.filter_line import FilterLine
from zotui.app.start.needs import Needs
from zotui.app.start.preset_list import Choice, PresetList, choices
from zotui.app.start.run_list import RunList
from zotui.home import presets

REFRESH_EVERY = 5.0


class Start(Screen[None]):
    """Presets and runs."""

    DEFAULT_CSS = """
    Start { layout: vertical; background: $background; }
    Start #panes { height: 1fr; layout: vertical; }
    Start #lists { height: 1fr; width: 1fr; }
    Start #presets { height: auto; max-height: 40%; }
    Start #runs { height: 1fr; }
    Start #detail { height: 15; display: none; }
    Start.-tall #detail, Start.-huge #detail { display: block; }
    Start.-wide #panes { layout: horizontal; }
    Start.-wide #lists { width: 3fr; }
    Start.-wide #detail { display: block; width: 2fr; height: 1fr; }
    """
    AUTO_FOCUS = "#presets"
    BINDINGS = [
        Binding(
            "f", "from_file", "from my file", id="start.from_file",
            tooltip="make a preset for your own data: an engine looks at a file and proposes one",
        ),
        Binding(
            "n", "new", "new", id="start.new",
            tooltip="edit a copy of the preset, or of the run's preset, in a form; from there it is run or saved",
        ),
        Binding(
            "u", "tune", "tune", id="start.tune",
            tooltip="find a learning rate and eps for the preset by short trials; a form takes what is found",
        ),
        Binding(
            "d", "delete", "delete", id="start.delete",
            tooltip="delete the run, or the preset of your own, under the cursor; asks first",
        ),
        Binding(
            "slash", "filter", "filter", id="start.filter",
            tooltip="narrow both lists to a name, standing, preset or model; escape shows everything again",
        ),
        Binding(
            "tab", "app.focus_next", "presets/runs", show=False, id="start.next_pane",
            tooltip="move between presets and runs",
        ),
        Binding("f5", "reload", "reload", show=False, id="start.reload", tooltip="read the lists again"),
        Binding("escape", "all", "all", show=False, id="start.all", tooltip="end the filter: show everything again"),
        Binding("q", "app.quit", "quit", id="start.quit", tooltip="leave"),
        Binding("question_mark,f1", "help", "help", id="start.help", tooltip="this help"),
    ]  # fmt: skip

    class Launch(TextualMessage):
        """Start a run of this preset."""

        def __init__(self, preset: Preset, name: str) -> None:
            super().__init__()
            self.preset, self.name = preset, name

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
        self._needs = Needs(self)

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        yield FilterLine()
        with Container(id="panes"):
            with Vertical(id="lists"):
                yield PresetList()
                yield RunList()
            yield Detail()
        yield KeyBar()

    def on_mount(self) -> None:
        """Fill the lists, and keep them fresh while they are looked at."""
        self.set_interval(REFRESH_EVERY, self._reload_if_seen)

    def on_unmount(self) -> None:
        """What was being asked is of no use to anybody."""
        self._needs.close()

    def on_screen_resume(self) -> None:
        """Back from a cockpit: things have changed."""
        self.call_after_refresh(self.action_reload)

    def on_resize(self) -> None:
        """The columns of the runs follow the width."""
        self.call_after_refresh(self.action_reload)

    @on(Input.Changed, "#filter")
    def action_reload(self) -> None:
        """Read presets and runs again."""
        found, runs = choices(), [run.summary() for run in all_runs()]
        live = sum(run.standing == "live" for run in runs)
        about = f"{len(found)} presets  ·  {len(runs)} run{'s'[: len(runs) != 1]}" + (
            f"  ·  {live} live" if live else ""
        )
        self.query_one(HeaderLine).show("fine-tune an LLM on your own GPU", about)
        word = self.query_one(FilterLine).word
        seen = [run for run in runs if _matches(run, word)]
        empty = "none that the filter finds" if runs else "none yet: enter on a preset starts one"
        fitting = [choice for choice in found if choice.matches(word)]
        self.query_one(PresetList).show(fitting, self._needs.outlooks, filtered=bool(word))
        listed = self.query_one(RunList)
        listed.keep_marks([run.path for run in runs])
        listed.show(seen, self._wall(), empty)
        self._explain()
        self._needs.ask([choice.file for choice in found if choice.preset is not None])

    @on(Needs.Known)
    def _reload_if_seen(self) -> None:
        if self.app.screen is self:
            self.action_reload()

    # -- keys ---------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.START))

    def action_filter(self) -> None:
        """Narrow both lists to what is typed."""
        self.query_one(FilterLine).open()

    @on(Input.Submitted, "#filter")
    def action_found(self) -> None:
        """From the filter to what it found."""
        found = self.query_one(PresetList)
        (found if found.option_count else self.query_one(RunList)).focus()

    def action_all(self) -> None:
        """Show everything again."""
        if self.query_one(FilterLine).close() and not self.query_one(RunList).has_focus:
            self.query_one(PresetList).focus()

    def action_from_file(self) -> None:
        """Make a preset for a file of one's own."""
        self.app.push_screen(OwnData(default_model(self._choice())), self._made)

    def _made(self, saved: Saved | None) -> None:
        """Go on with what was saved: to its preflight, or to all of it in a form."""
        if saved is None:
            return
        self.action_reload()
        self.query_one(PresetList).go_to(saved.name)
        if saved.run:
            self.check()
        else:
            self._edit()

    def action_new(self) -> None:
        """Edit a copy of the preset, or of the run's preset, under the cursor."""
        self._edit()

    def action_tune(self) -> None:
        """Find a rate for it, and have that in a form."""
        self._edit(tune=True)

    def _edit(self, *, tune: bool = False) -> None:
        run, choice = self._run(), self._choice()
        if run is not None:
            found = self._found(run.path)
            if not found:
                return
            file, name = found[0].preset_file, run.preset
        elif choice is not None:
            file, name = choice.file, choice.name
        else:
            return
        try:
            form = Form(presets.text(file), name.rpartition("/")[2].removesuffix(".toml"), tune=tune)
        except UserError as error:
            self.notify(str(error), title=f"{name} cannot be edited", severity="error", markup=False)
            return
        self.app.push_screen(form, lambda made: self._launch(*made) if made else None)

    def action_delete(self) -> None:
        """Delete the run, or the preset of one's own, under the cursor; asks first."""
        run, choice = self._run(), self._choice()
        if run is not None:
            for found in self._found(run.path):
                delete_run(self, found, self.action_reload)
        elif choice is not None:
            delete_preset(self, choice.file, self.action_reload)

    def action_resume_run(self) -> None:
        """Resume the run under the cursor."""
        chosen = self.query_one(RunList).chosen
        if chosen is None:
            return
        if chosen.standing in ("live", "finished"):
            why = "is live: enter attaches to it" if chosen.standing == "live" else "is finished: nothing is left to do"
            self.notify(f"{chosen.name} {why}", severity="warning", markup=False)
            return
        for run in self._found(chosen.path):
            self.post_message(self.Resume(run))

    def action_compare_runs(self) -> None:
        """Set the marked runs side by side."""
        marked = self.query_one(RunList).marked
        if len(marked) < 2:
            self.notify("mark two runs or more with space, then x compares them", severity="warning")
            return
        if runs := self._found(*marked):
            self.post_message(self.Compare(runs))

    @on(OptionList.OptionSelected, "#presets")
    def check(self) -> None:
        """Enter on a preset, or above them."""
        if self.query_one(PresetList).at_new:
            self.action_from_file()
            return
        choice = self.query_one(PresetList).chosen
        if choice is None or self.app.screen is not self:  # enter was pressed again before its screen came
            return
        if choice.preset is None:
            self.notify(choice.fault, title=f"{choice.name} cannot run", severity="error", markup=False)
            return
        preset, name = choice.preset, choice.name
        self.app.push_screen(Preflight(preset, name), lambda go: self._launch(preset, name) if go else None)

    def _launch(self, preset: Preset, name: str) -> None:
        self.post_message(self.Launch(preset, name))

    @on(DataTable.RowSelected, "#runs")
    def look(self) -> None:
        """Enter on a run."""
        chosen = self.query_one(RunList).chosen
        if chosen is not None and self.app.screen is self:
            for run in self._found(chosen.path):
                self.post_message(self.Look(run))

    @on(OptionList.OptionHighlighted, "#presets")
    @on(DataTable.RowHighlighted, "#runs")
    def moved(self) -> None:
        """Another line is under the cursor."""
        self._explain()

    def on_descendant_focus(self) -> None:
        """Another list has the cursor."""
        self._explain()

    def _found(self, *paths: str) -> list[RunDir]:
        """These runs; none, which is said, if one was deleted since the list was read."""
        found = []
        for path in paths:
            try:
                found.append(RunDir.find(path))
            except UserError:
                self.notify(f"{Path(path).name} was deleted", severity="error", markup=False)
                self.action_reload()
                return []
        return found

    def _run(self) -> Summary | None:
        runs = self.query_one(RunList)
        return runs.chosen if runs.has_focus else None

    def _choice(self) -> Choice | None:
        return None if self.query_one(RunList).has_focus else self.query_one(PresetList).chosen

    def _explain(self) -> None:
        detail, run, choice = self.query_one(Detail), self._run(), self.query_one(PresetList).chosen
        if run is not None:
            detail.show_run(run)
        elif self.query_one(PresetList).at_new:
            detail.show_new()
        elif choice is not None:
            detail.show_preset(choice, self._needs.outlooks.get(str(choice.file)))
        else:
            detail.clear()


def _matches(run: Summary, word: str) -> bool:
    if not word:
        return True
    told = f"{run.name} {run.standing} {run.word} {run.preset}".lower()
    return word in told or word in _model_of(run)


def _model_of(run: Summary) -> str:
    try:
        return RunDir.find(run.path).preset().model.path.lower()
    except UserError:
        return ""
