"""A dialog with a few fields, checked while they are typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from zotui.app.kit.dialogs import DIALOG_CSS


@dataclass(frozen=True)
class Field:
    """A line of the dialog."""

    name: str
    value: str  # as it stands before anything is typed
    about: str  # what it is, in a few words


class Fields(ModalScreen[dict[str, str]]):
    """Answers with the texts that were changed, by the names of their fields, once `check` has nothing against them.

    None on escape.
    """

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="Fields")
        + """
    Fields #dialog { width: 88; }
    Fields .field { height: auto; }
    Fields .name { width: 14; text-style: bold; }
    Fields Input, Fields Input:focus {
        width: 24; height: 1; border: none; padding: 0 1; background: $panel; background-tint: $foreground 0%;
    }
    Fields Input:focus { background: $block-cursor-background; color: $block-cursor-foreground; }
    Fields .about { width: 1fr; height: auto; padding-left: 2; color: $quiet; }
    Fields.-narrow Input, Fields.-narrow Input:focus { width: 16; }
    Fields #text { color: $quiet; margin-bottom: 1; }
    Fields #said { height: auto; min-height: 1; margin-top: 1; color: $quiet; }
    Fields #said.-wrong { color: $error; }
    """
    )
    BINDINGS = [
        Binding("enter", "take", "take it", show=False, priority=True, id="fields.take", tooltip="do it"),
        Binding("up", "app.focus_previous", show=False, id="fields.previous", tooltip="the field above"),
        Binding("down", "app.focus_next", show=False, id="fields.next", tooltip="the field below"),
        Binding("escape", "close", "back", show=False, id="fields.back", tooltip="back, and change nothing"),
    ]

    def __init__(
        self, title: str, text: str, fields: Sequence[Field], check: Callable[[dict[str, str]], str], done: str
    ) -> None:
        """`check` says what is wrong with the texts, or nothing; `done` is what enter does, in a word or two."""
        super().__init__()
        self._title, self._text, self._fields, self._check, self._done = title, text, fields, check, done

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = f"enter {self._done}   escape back"
            yield Static(Content(self._text), id="text")
            for field in self._fields:
                with Horizontal(classes="field"):
                    yield Static(Content(field.name), classes="name")
                    yield Input(field.value, name=field.name, select_on_focus=True)
                    yield Static(Content(field.about), classes="about")
            yield Static("", id="said")

    def on_mount(self) -> None:
        """Say how the fields stand."""
        self.look()

    @property
    def texts(self) -> dict[str, str]:
        """What was changed in the fields."""
        before = {field.name: field.value for field in self._fields}
        now = {str(field.name): field.value.strip() for field in self.query(Input)}
        return {name: text for name, text in now.items() if text != before[name]}

    @on(Input.Changed)
    def look(self) -> None:
        """Say what is wrong, or what has changed."""
        wrong = self._check(self.texts)
        changed = list(self.texts)
        said = self.query_one("#said", Static)
        said.set_class(bool(wrong), "-wrong")
        said.update(Content(wrong or (f"changed: {', '.join(changed)}" if changed else "nothing is changed yet")))

    def action_take(self) -> None:
        """Hand the texts over, if nothing is wrong with them."""
        if self._check(self.texts):
            self.app.bell()
        else:
            self.dismiss(self.texts)

    def action_close(self) -> None:
        """Change nothing."""
        self.dismiss(None)
