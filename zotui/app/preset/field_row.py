"""One key of a preset in a form: its name, a widget for its value, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Select, Static, Switch

from zotui.home.preset_fields import Field


class _Choice(Select[str], inherit_bindings=False):
    """The arrows are for moving between the fields."""

    BINDINGS = [
        Binding("enter,space", "show_overlay", "choose", show=False, id="field.choose", tooltip="choose a value")
    ]


class FieldRow(Vertical):
    """Posts `Changed` when another value is there."""

    DEFAULT_CSS = """
    FieldRow { height: auto; }
    FieldRow Horizontal { height: 1; }
    FieldRow .mark { width: 2; color: $primary; }
    FieldRow .name { width: 21; color: $quiet; }
    FieldRow:focus-within .name { color: $primary; text-style: bold; }
    FieldRow.-changed .name { color: $foreground; }
    FieldRow Input { width: 1fr; background: $surface; }
    FieldRow Input:focus { background: $block-cursor-background; }
    FieldRow Select { width: 1fr; max-width: 30; height: 1; }
    FieldRow SelectCurrent { background: $surface; padding: 0; }
    FieldRow Select:focus SelectCurrent { background: $block-cursor-background; }
    FieldRow Switch { height: 1; border: none; padding: 0; background: $surface; }
    FieldRow Switch:focus { border: none; background: $block-cursor-background; }
    FieldRow.-default SelectCurrent Static#label { color: $quiet; }
    FieldRow .word { width: 6; padding-left: 1; }
    FieldRow.-default .word { color: $quiet; }
    FieldRow .fault { color: $error; padding-left: 23; height: auto; display: none; }
    FieldRow.-faulty .fault { display: block; }
    FieldRow.-faulty .name { color: $error; }
    """

    class Changed(Message):
        """Another value."""

        def __init__(self, row: FieldRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, field: Field, value: Any) -> None:
        super().__init__()
        self.field = field
        self._before = value
        self._blamed = ""
        self._asked: Input | Select[str] | Switch
        self._told: object = None  # what its widget had when that was last told
        self._cleared = False  # whether it was taken out of the file
        self.set_class(value is None, "-default")  # before it is there, or each of the rows would be styled twice

    def compose(self) -> ComposeResult:
        field, value = self.field, self._before
        with Horizontal():
            yield Static(classes="mark")
            yield Static(Content(field.name), classes="name")
            if field.kind == "choice" and (value is None or value in field.choices):
                options = [(choice, choice) for choice in field.choices]
                chosen = value if value is not None else field.default
                may_be_unset = field.default is None
                self._asked = _Choice(
                    options, value=chosen if chosen is not None else Select.NULL, allow_blank=may_be_unset,
                    prompt="unset", compact=True,
                )  # fmt: skip
                yield self._asked
            elif field.kind == "switch" and (value is None or isinstance(value, bool)):
                self._asked = Switch(field.default if value is None else value, animate=False)
                yield self._asked
                yield Static(classes="word")
            else:
                hint = "required" if field.required else field.shown(field.default) or "unset"
                self._asked = self.entry(field.shown(value), hint)
                yield self._asked
        yield Static(classes="fault")

    def entry(self, text: str, hint: str) -> Input:
        """What a text is typed in."""
        return Input(text, placeholder=hint, compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        """Show what is default."""
        self._told = self._asked.value
        self._mark()

    @property
    def value(self) -> Any:
        """What the file would say; None where the key would not be in it."""
        asked = self._asked
        if isinstance(asked, Input):
            return self._before if asked.value == self.field.shown(self._before) else self.field.read(asked.value)
        value: Any = None
        if isinstance(asked, Switch):
            value = asked.value
        elif isinstance(asked, Select):
            value = None if asked.value is Select.NULL else asked.value
        return None if (self._before is None or self._cleared) and value == self.field.default else value

    def enter(self, value: Any) -> None:
        """Have it as if it was typed."""
        self.query_one(Input).value = self.field.shown(value)

    def defaults_to(self, default: Any) -> None:
        """What is shown, and meant, where it is unset."""
        if default == self.field.default:
            return
        unset, self.field = self.value is None, replace(self.field, default=default)
        asked = self._asked
        if isinstance(asked, Input):
            asked.placeholder = self.field.shown(default) or "unset"
        elif unset:
            self._put(None)

    def unset(self, yes: bool = True) -> None:
        """Leave it out of the file, or have it as the file has it."""
        self._cleared = yes
        self._put(None if yes else self._before)
        self._mark()

    def _put(self, value: Any) -> None:
        asked = self._asked
        with self.prevent(Input.Changed, Select.Changed, Switch.Changed):
            if isinstance(asked, Input):
                asked.value = self.field.shown(value)
            elif isinstance(asked, Select | Switch):
                shown = self.field.default if value is None else value
                asked.value = Select.NULL if shown is None else shown
        self._told = asked.value

    @property
    def shown(self) -> Any:
        """What is meant: the value, or what it is where it is unset."""
        return self.field.default if self.value is None else self.value

    @property
    def changed(self) -> bool:
        """Whether that is not what it was."""
        return bool(self.value != self._before)

    def settle(self) -> None:
        """What it is now is what the file says."""
        self._before = self.value
        self._mark()

    def blame(self, fault: str) -> None:
        """Show what is wrong with the value, or that nothing is."""
        if fault == self._blamed:  # of every row, at every key
            return
        self._blamed = fault
        self.set_class(bool(fault), "-faulty")
        self.query_one(".fault", Static).update(Content(fault))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed."""
        event.stop()
        self._tell()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Chosen."""
        event.stop()
        self._tell()

    def on_switch_changed(self, event: Switch.Changed) -> None:
        """Switched."""
        event.stop()
        self._tell()

    def _tell(self) -> None:
        """Unless it is told already: widgets post what they begin with, and a form checks all of itself each time."""
        if self._asked.value == self._told:
            return
        self._told = self._asked.value
        self._mark()
        self.post_message(self.Changed(self))

    def _mark(self) -> None:
        self.set_class(self.changed, "-changed")
        self.set_class(self.value is None, "-default")
        self.query_one(".mark", Static).update("●" if self.changed else "")
        for switch in self.query(Switch):
            self.query_one(".word", Static).update("yes" if switch.value else "no")
