"""The dialogs: a question with few answers, and a message."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Button, Static

DIALOG_CSS = """
    {name} {{ align: center middle; background: $background 60%; }}
    {name} #dialog {{
        width: 70;
        max-width: 94%;
        height: auto;
        border: round $primary;
        border-title-color: $foreground;
        border-title-style: bold;
        background: $surface;
        padding: 1 2;
    }}
    {name} #text {{ width: 1fr; height: auto; }}
    {name} #answers {{ height: auto; margin-top: 1; align-horizontal: right; }}
    {name} #answers Button {{ margin-left: 2; padding: 0 1; }}
    {name} #answers Button, {name} #answers Button:hover {{ background: $panel; color: $foreground; }}
    {name} #answers Button:focus {{ background: $primary; color: $background; text-style: bold; }}
"""


class Question(ModalScreen[str]):
    """Asks; answers with the chosen button's id. Escape is the first, harmless answer.

    The underlined letter of an answer is its key: the first letter, unless an answer before it has the same.
    """

    DEFAULT_CSS = DIALOG_CSS.format(name="Question")
    BINDINGS = [
        Binding("escape", "harmless", "Back", show=False, id="dialog.back", tooltip="the answer that changes nothing"),
        Binding("left,up", "app.focus_previous", show=False, id="dialog.previous", tooltip="the answer before"),
        Binding("right,down", "app.focus_next", show=False, id="dialog.next", tooltip="the next answer"),
    ]

    def __init__(self, title: str, text: str, answers: dict[str, str]) -> None:
        super().__init__()
        self._title, self._text, self._answers = title, text, answers
        self._keys: dict[str, str] = {}
        for answer, label in answers.items():
            self._keys.setdefault(label[0].lower(), answer)

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(Content(self._text), id="text")
            with Horizontal(id="answers"):
                for answer, label in self._answers.items():
                    has_key = answer in self._keys.values()
                    shown = Content.assemble((label[0], "underline" if has_key else ""), label[1:])
                    yield Button(shown, id=answer, compact=True)

    def on_key(self, event: Key) -> None:
        """The letter of an answer."""
        if event.key in self._keys:
            event.stop()
            self.dismiss(self._keys[event.key])

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Hand the answer back."""
        self.dismiss(event.button.id)

    def action_harmless(self) -> None:
        """Take the answer that changes nothing."""
        self.dismiss(next(iter(self._answers)))


class Message(ModalScreen[None]):
    """Says something that must not be missed."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Message") + "    Message #dialog { border: round $error; }"
    BINDINGS = [
        Binding("escape,enter,q,space", "close", "Close", show=False, id="message.close", tooltip="close a message")
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "enter close"
            yield Static(Content(self._text), id="text")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
