"""The screen: a file, a model, what an engine proposes for them, and the preset that is saved of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from engine.errors import UserError
from engine.preset.load import load
from engine.preset.paths import kind_of, local
from engine.protocol.events import Error, Phase
from engine.protocol.findings import Draft
from zotui.app import glossary
from zotui.app.kit.dialogs import Question
from zotui.app.kit.fields_pane import FieldsPane
from zotui.app.kit.frame import frame
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.own_data.label_table import LabelTable
from zotui.app.preset.own_data.looking import Looking
from zotui.app.preset.own_data.name_row import NameRow, free_field
from zotui.app.preset.own_data.path_row import PathRow
from zotui.app.preset.own_data.proposal import Proposal, Row
from zotui.app.preset.own_data.shown_rows import ShownRows
from zotui.app.preset.own_data.text_row import TextRow
from zotui.home import presets

_SOON = 0.2  # seconds without a key, until what was typed is looked at


class Saved(NamedTuple):
    """A preset that was written, and whether to check and run it now; else it is to be looked at in the form."""

    text: str
    name: str
    run: bool


class OwnData(Screen[Saved | None]):
    """Answers with what was saved; None where nothing was, and then nothing is left of it."""

    DEFAULT_CSS = (
        frame("OwnData #fields", "$primary", within=True)
        + """
    OwnData { layout: vertical; background: $background; }
    OwnData #panes { height: 1fr; layout: vertical; }
    OwnData #fields { height: 3fr; padding: 0 2; }
    OwnData #shown { height: 2fr; }
    OwnData .mark { visibility: hidden; }
    OwnData.-wide #panes { layout: horizontal; }
    OwnData.-wide #fields { width: 1fr; height: 1fr; }
    OwnData.-wide #shown { width: 1fr; height: 1fr; }
    """
    )
    AUTO_FOCUS = "PathRow Input"
    BINDINGS = [
        Binding("down,enter", "app.focus_next", "next", show=False, id="own.next", tooltip="the next field"),
        Binding("up", "app.focus_previous", "previous", show=False, id="own.previous", tooltip="the field before"),
        Binding(
            "ctrl+r", "save(True)", "save and run", id="own.run",
            tooltip="save the preset, and check what a run of it would take; enter in its name does it, too",
        ),
        Binding("ctrl+s", "save(False)", "save", id="own.save", tooltip="save the preset, and see all of it in a form"),
        Binding("escape", "back", "back", key_display="esc", id="own.back", tooltip="back; nothing is left of it"),
        Binding("f1", "help", "help", id="own.help", tooltip="this help"),
    ]  # fmt: skip

    def __init__(self, model: str) -> None:
        """`model` is what it begins with, a folder or hub id."""
        super().__init__()
        self._file = PathRow(free_field("file", "a path: tab completes, down chooses"), "")
        self._model = PathRow(free_field("model", "a folder, or a hub id"), model, files=False)
        self._called = NameRow()
        self._looking: Looking | None = None
        self._draft: Draft | None = None
        self._decided: dict[str, Any] = {}  # keys of `[task]`
        self._due: Timer | None = None
        self._faulty: PathRow | Row | None = None
        self._then: bool | None = None  # what to do once it is saved, which is to be when the answer has come

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        with Container(id="panes"):
            with FieldsPane(id="fields") as pane:
                pane.border_title = "your data"
                yield self._file
                yield self._model
                yield Proposal()
                yield self._called
            yield ShownRows()
        yield KeyBar()

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self._say("which file?")
        self._called.display = False

    def on_unmount(self) -> None:
        """Nobody reads it any more."""
        if self._looking is not None:
            self._looking.close()

    def _say(self, about: str) -> None:
        self.query_one(HeaderLine).show("new from my file", about)

    # -- what is typed ----------------------------------------------------------------------------

    @on(FieldRow.Changed)
    def _typed(self, event: FieldRow.Changed) -> None:
        event.stop()
        row = event.row
        if row is self._file:
            self._forget()
            if kind_of(path := local(self._file.text)) and path.is_file():
                self._soon()
        elif row not in (self._model, self._called):
            key = row.field.name
            kept = ("kind",) if key == "label" else ()  # of what was decided: the rest was about other labels
            self._decided = {name: value for name, value in self._decided.items() if name in kept}
            if row.value is not None:
                self._decided[key] = row.value
            self._soon()

    @on(TextRow.Changed)
    @on(LabelTable.Changed)
    def _retold(self, event: TextRow.Changed | LabelTable.Changed) -> None:
        event.stop()
        self._decided[event.row.key] = event.row.value
        self._soon()

    @on(PathRow.Chosen)
    def _chosen(self, event: PathRow.Chosen) -> None:
        event.stop()
        self._look()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The model is known when the cursor has left it."""
        elsewhere = self._model not in event.widget.ancestors
        if elsewhere and self._looking is not None and self._model.text != self._looking.model:
            self._look()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if self._called.has_focus_within:
            self.action_save(True)
        else:
            self.focus_next()

    # -- the engine -------------------------------------------------------------------------------

    def _soon(self) -> None:
        """Look at what is typed, unless something else is typed at once."""
        if self._due is not None:
            self._due.stop()
        self._due = self.set_timer(_SOON, self._look)

    def _look(self) -> None:
        """Have an engine look at the file as it stands."""
        if self._due is not None:
            self._due.stop()
            self._due = None
        data, model = self._file.text, self._model.text
        if not data or not model:
            self._blame("give a file" if not data else "model: give a folder, or a hub id")
            return
        if self._looking is None or (self._looking.data, self._looking.model) != (data, model):
            if self._looking is not None:
                self._looking.close()
            self._looking = Looking(self, data, model)
            self._say("starting")
        self._looking.ask(self._decided)

    def _forget(self) -> None:
        """It is another file, of which nothing is known."""
        if self._looking is not None:
            self._looking.close()
        self._looking = self._draft = self._then = None
        self._decided = {}
        self._blame("")
        self.query_one(Proposal).clear()
        self.query_one(ShownRows).clear()
        self._called.display = False
        self._say("which file?")

    @on(Looking.Found)
    def _take(self, event: Looking.Found) -> None:
        event.stop()
        looking, finding = event.looking, event.finding
        if looking is not self._looking:
            return
        if isinstance(finding, Phase):
            self._say(" ".join(part for part in (finding.name, finding.detail) if part))
        elif finding is None:  # by itself: of a fault of its own, which it has said if it could
            self._looking = None
            if self._faulty is None:
                self._blame("the look at it ended; `zotui presets new` shows why")
            self._say("not yet")
        elif not looking.answers(finding):
            return
        elif isinstance(finding, Error):
            self._blame(finding.text)
            self._say("not yet")
        elif isinstance(finding, Draft):
            self._blame("")
            self._show(finding)
        self._save_if_due()

    def _show(self, draft: Draft) -> None:
        first, self._draft = self._draft is None, draft
        self.query_one(Proposal).show(draft)
        self.query_one(ShownRows).show(draft)
        self._say("nothing is saved yet")
        if first:
            self._called.display = True
            self._called.suggest(presets.name_for_data(self._file.text))

    def _blame(self, fault: str) -> None:
        """Say what is wrong at its field, or that nothing is."""
        if self._faulty is not None and self._faulty.is_attached:
            self._faulty.blame("")
        self._faulty = None
        if fault:
            fault = fault.removeprefix("the proposal: ").replace("--set ", "")
            fault = fault.replace(str(local(self._file.text).absolute()), self._file.text)  # as it was typed
            self._faulty = self._row_of(fault)
            self._faulty.blame(fault.removeprefix("--data: ").removeprefix("--model: "))

    def _row_of(self, fault: str) -> PathRow | Row:
        key = fault.partition(": ")[0]
        if key.startswith(("model", "--model")):
            return self._model
        rows = self.query_one(Proposal).rows
        return next((row for name, row in rows.items() if key.startswith(f"task.{name}")), self._file)

    # -- keys -------------------------------------------------------------------------------------

    def action_save(self, run: bool) -> None:
        """Write the preset, as soon as the answer to what was typed last is here."""
        self._then = run
        typed = self._looking is None or self._looking.model != self._model.text
        if self._due is not None or typed:
            self._look()
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._then is None or (self._looking is not None and self._looking.waits):
            return
        run, self._then = self._then, None
        if self._draft is None or self._faulty is not None:
            self._point_to(self._faulty or self._file)
            return
        if not self._called.check():
            self._point_to(self._called)
            return
        name, text = self._called.text, self._draft.text
        try:
            load(name, text)  # it crossed a pipe
            file = presets.save(name, text)
        except UserError as error:
            self.notify(str(error), title="not saved", severity="error", markup=False)
            return
        self.notify(str(file), title="saved", markup=False)
        self.dismiss(Saved(text, file.stem, run))

    def _point_to(self, row: PathRow | Row) -> None:
        self.app.bell()
        entry = next((one for one in row.query("*") if one.focusable), None)
        if entry is not None:
            entry.focus()

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.OWN_DATA))

    def action_back(self) -> None:
        """Leave it; asks first where something was decided."""
        if not self._decided:
            self.dismiss(None)
            return
        question = Question(
            "leave without saving?", "What you changed here is not saved.", {"stay": "Stay", "leave": "Leave"}
        )

        def answered(answer: str | None) -> None:
            if answer == "leave":
                self.dismiss(None)

        self.app.push_screen(question, answered)
