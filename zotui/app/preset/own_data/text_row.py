"""A text of several lines in a form: a prompt, or what is learned."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, TextArea


class _Lines(TextArea):
    """The arrows that would leave the text go on to other fields."""

    BINDINGS = [
        Binding("up", "line_up", show=False, id="lines.up", tooltip="the line above, or the field above"),
        Binding("down", "line_down", show=False, id="lines.down", tooltip="the line below, or the field below"),
    ]

    def action_line_up(self) -> None:
        """Up, or out of it."""
        if self.cursor_at_first_line:
            self.screen.focus_previous()
        else:
            self.action_cursor_up()

    def action_line_down(self) -> None:
        """Down, or out of it."""
        if self.cursor_at_last_line:
            self.screen.focus_next()
        else:
            self.action_cursor_down()


class TextRow(Vertical):
    """Posts `Changed` when another text is there."""

    DEFAULT_CSS = """
    TextRow { height: auto; }
    TextRow Horizontal { height: auto; }
    TextRow .name { width: 23; padding-left: 2; color: $quiet; }
    TextRow:focus-within .name { color: $primary; text-style: bold; }
    TextRow TextArea, TextRow TextArea:focus {
        width: 1fr; height: auto; min-height: 1; max-height: 10; border: none; padding: 0;
        background: $panel; background-tint: $foreground 0%; scrollbar-size-vertical: 1;
    }
    TextRow TextArea:focus { background: $block-cursor-background; }
    TextRow TextArea .text-area--cursor-line { background: $foreground 0%; }
    TextRow .fault { color: $error; padding-left: 23; height: auto; display: none; }
    TextRow.-faulty .fault { display: block; }
    TextRow.-faulty .name { color: $error; }
    """

    class Changed(Message):
        """Another text."""

        def __init__(self, row: TextRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, key: str, name: str, text: str) -> None:
        super().__init__()
        self.key, self._called = key, name
        self._told = text

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(Content(self._called), classes="name")
            yield _Lines(self._told, compact=True)
        yield Static(classes="fault")

    @property
    def value(self) -> Any:
        """What is there."""
        return self.query_one(TextArea).text

    def blame(self, fault: str) -> None:
        """Show what is wrong with it, or that nothing is."""
        self.set_class(bool(fault), "-faulty")
        self.query_one(".fault", Static).update(Content(fault))

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Typed, unless it is what it began with."""
        event.stop()
        if self.value != self._told:
            self._told = self.value
            self.post_message(self.Changed(self))
