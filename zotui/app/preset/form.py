"""The form: every key of a preset, explained and checked as it is typed; to be run, or saved as a new preset."""

from __future__ import annotations

import tomllib
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from engine.errors import UserError
from engine.preset.load import load
from engine.preset.method import CONTROL, Method, brings, idle, searched
from engine.preset.schema import Preset
from zotui.app import glossary
from zotui.app.kit.dialogs import Question
from zotui.app.kit.fields_pane import FieldsPane
from zotui.app.kit.frame import frame
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.preset.ask_name import AskName
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.preflight import Preflight
from zotui.app.preset.tune import Rate, Tune
from zotui.home import preset_edit, presets
from zotui.home.preset_fields import Field, fields

Made = tuple[Preset, str]
"""A preset to launch, and its name."""


class Form(Screen[Made | None]):
    """Answers with what is to be launched, or None."""

    DEFAULT_CSS = (
        frame("Form #fields")
        + frame("Form #explained")
        + """
    Form { layout: vertical; background: $background; }
    Form #panes { height: 1fr; layout: vertical; }
    Form #fields { height: 1fr; padding: 0 2; border: round $primary; }
    Form #explained { padding: 0 2; }
    Form #explained { height: 6; color: $foreground; }
    Form.-tall #explained, Form.-huge #explained { height: 9; }
    Form.-wide #panes { layout: horizontal; }
    Form.-wide #fields { width: 3fr; }
    Form.-wide #explained { width: 2fr; height: 1fr; padding: 1 2; }
    Form .section { color: $primary; text-style: bold; height: 1; }
    Form .gap { margin-top: 1; }
    """
    )
    AUTO_FOCUS = "FieldRow Input"
    BINDINGS = [
        Binding("down,enter", "app.focus_next", "next", show=False, id="form.next", tooltip="the next key"),
        Binding("up", "app.focus_previous", "previous", show=False, id="form.previous", tooltip="the key before"),
        Binding("ctrl+r", "run", "run it", id="form.run", tooltip="check what a run of it would take, and launch it"),
        Binding("ctrl+s", "save", "save as", id="form.save", tooltip="save it as a preset of your own"),
        Binding("ctrl+t", "tune", "tune", id="form.tune", tooltip="find its learning rate and eps by short trials"),
        Binding("escape", "back", "back", key_display="esc", id="form.back", tooltip="back; asks about changes"),
        Binding("f1", "help", "help", id="form.help", tooltip="this help"),
    ]

    def __init__(self, text: str, name: str, *, tune: bool = False) -> None:
        """`tune`: it is opened for that, and begins with it."""
        super().__init__()
        self._text, self._called = text, name
        self._only_to_tune = tune
        try:
            self._data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{name}: not valid TOML: {error}") from None
        self._fault = ""
        self._rows: list[FieldRow] = []  # kept, for they are asked for at every key: to look for them takes long

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        with Container(id="panes"):
            with FieldsPane(id="fields") as pane:
                pane.border_title = "preset"
                section = None
                for field in fields():
                    if field.section != section and field.section:
                        yield Static(Content(f"[{field.section}]"), classes="section gap")
                    section = field.section
                    yield FieldRow(field, self._value(field))
            with VerticalScroll(id="explained", can_focus=False):
                yield Static()
        yield KeyBar()

    def on_mount(self) -> None:
        """Say what is wrong from the start."""
        self._rows = list(self.query(FieldRow))
        self._check()
        if self._only_to_tune:
            self.action_tune()

    def _value(self, field: Field) -> Any:
        section = self._data.get(field.section, {}) if field.section else self._data
        return section.get(field.name) if isinstance(section, dict) else None

    @property
    def changes(self) -> dict[str, Any]:
        """The keys that are not as they were, None for those that are to go."""
        return {row.field.key: row.value for row in self._rows if row.changed}

    def _edited(self) -> str:
        return preset_edit.edit(self._text, self.changes)

    @on(FieldRow.Changed)
    def _changed(self, event: FieldRow.Changed) -> None:
        """Another method brings its own settings: those that the file has of the first are no settings of it."""
        event.stop()
        if event.row is self._named:
            own = self._data.get("method", {})
            for row in self._rows:
                if row.field.section == "method" and row is not self._named and row.field.name not in CONTROL:
                    row.unset(self._named.shown != own.get("name", self._named.field.default))
        self._check()

    def _searched(self, field: Field) -> str:
        """Where the authors of the method look for a key."""
        name = self._named.shown
        found = searched(name, field.name) if field.section == "method" else None
        return f"searched for {name} from {found[0]:g} to {found[1]:g}" if found else ""

    @property
    def _named(self) -> FieldRow:
        """The row that names the method."""
        return next(row for row in self._rows if row.field.key == "method.name")

    def _show_method(self, preset: Preset | None) -> None:
        """Of the method's keys those that matter, with what it brings where they are unset."""
        brought = brings(self._named.shown)
        for row in self._rows:
            if row.field.section == "method" and row is not self._named:
                row.defaults_to(brought.get(row.field.name, Method.model_fields[row.field.name].default))
                if preset is not None:
                    row.display = row.field.name not in idle(preset.method) or row.changed

    def _check(self) -> Preset | None:
        """The preset as it stands; what is wrong with it is shown at its field."""
        preset = None
        key = self._fault = ""
        self._show_method(None)
        try:
            preset = load(self._called, self._edited())
        except UserError as error:
            self._fault = str(error).removeprefix(f"{self._called}: ")
            key = self._fault.partition(": ")[0]
        blamed = False
        for row in self._rows:
            own = row.field.key
            guilty = bool(key) and (key == own or key.startswith(f"{own}.") or (key == "task" and own == "task.name"))
            row.blame(_short(self._fault, row.field) if guilty and not blamed else "")
            blamed = blamed or guilty
        self._show_method(preset)
        changed = len(self.changes)
        state = "valid" if preset else f"{key or 'it'} is not valid"
        about = f"{changed} changed  ·  " if changed else ""
        self.query_one(HeaderLine).show(f"edit: {self._called}", f"{about}{state}")
        self.query_one("#fields").border_subtitle = Content(
            "up down move   enter chooses" if preset else "not valid yet"
        )
        return preset

    def on_descendant_focus(self) -> None:
        """Explain the field that has the cursor."""
        row = next((row for row in self._rows if row.has_focus_within), None)
        if row is None:
            return
        field = row.field
        self.query_one("#explained").border_title = Content(field.key)
        default = "required" if field.required else f"default {field.shown(field.default) or 'unset'}"
        looked_for = self._searched(field)
        facts = "   ".join(part for part in (default, field.bounds, looked_for, ", ".join(field.choices)) if part)
        lines = [Content(field.about), Content.assemble((facts, "$quiet"))]
        self.query_one("#explained Static", Static).update(
            Content("\n\n" if self.has_class("-wide") else "\n").join(lines)
        )

    # -- keys -----------------------------------------------------------------------------------------

    def action_run(self) -> None:
        """To the preflight, and from there to the run."""
        preset = self._check()
        if preset is None:
            self._refuse()
            return
        name = self._called

        def answered(go: bool | None) -> None:
            if go:
                self.dismiss((preset, name))

        self.app.push_screen(Preflight(preset, name), answered)

    def action_tune(self) -> None:
        """Find learning rate and eps; what is found is entered here."""
        preset = self._check()
        if preset is None:
            self._refuse()
        else:
            self.app.push_screen(Tune(preset, self._called), self._tuned)

    def _tuned(self, found: Rate | None) -> None:
        only, self._only_to_tune = self._only_to_tune and not self.changes, False
        if found is None:
            if only:
                self.dismiss(None)
            return
        for row in self._rows:
            if row.field.key in ("method.lr", "method.eps") and row.shown != getattr(found, row.field.name):
                row.enter(getattr(found, row.field.name))
            if row.field.key == "method.lr":
                row.query_one(Input).focus()

    def action_save(self) -> None:
        """Save it as a preset of one's own."""
        if self._check() is None:
            self._refuse()
        else:
            name = presets.name_for_own(self._called)
            ask = AskName("save as a preset of your own", name, _fault_of, _told)
            self.app.push_screen(ask, self._save_as)

    def _save_as(self, name: str | None) -> None:
        if not name:
            return
        there = presets.available().get(presets.own_file(name).stem)
        if there is None:
            self._save(name)
            return
        text = f"{there} would be replaced."
        if there != presets.own_file(name):
            text = f"{there.stem} comes with zotui. Yours would stand in its place, until you delete it."
        question = Question("there is one already", text, {"keep": "Keep it", "replace": "Replace it"})
        self.app.push_screen(question, lambda answer: self._save(name, replace=True) if answer == "replace" else None)

    def _save(self, name: str, *, replace: bool = False) -> None:
        text = self._edited()
        try:
            file = presets.save(name, text, replace=replace)
        except UserError as error:
            self.notify(str(error), title="not saved", severity="error", markup=False)
            return
        text = presets.text(file)
        self._text, self._data, self._called = text, tomllib.loads(text), file.stem
        for row in self._rows:
            stored = self._value(row.field)
            if row.field.kind == "text" and row.value != stored:  # a path, which is whole there
                row.enter(stored)
            row.settle()
        self._check()
        self.notify(str(file), title="saved", markup=False)

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.FORM))

    def action_back(self) -> None:
        """Leave it; asks first where something was changed."""
        if not self.changes:
            self.dismiss(None)
            return
        question = Question(
            "leave without saving?", f"Changed, and not saved: {', '.join(self.changes)}.",
            {"stay": "Stay", "leave": "Leave"},
        )  # fmt: skip

        def answered(answer: str | None) -> None:
            if answer == "leave":
                self.dismiss(None)

        self.app.push_screen(question, answered)

    def _refuse(self) -> None:
        self.notify(self._fault, title="not valid yet", severity="warning", markup=False)


def _fault_of(name: str) -> str:
    """Why no preset can be called so; empty where one can."""
    try:
        presets.own_file(name)
    except UserError as error:
        return str(error).removeprefix(": ")
    return ""


def _told(name: str) -> str:
    return f"presets/{presets.own_file(name).name} in zotui's folder"


def _short(fault: str, field: Field) -> str:
    """A fault below its field: the key is beside it, and what the key means is explained elsewhere."""
    return fault.removeprefix(f"{field.key}: ").removesuffix(f"; {field.about}")
