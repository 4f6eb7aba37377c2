"""The filter over the lists of the start screen; hidden until it is asked for."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input, Static


class FilterLine(Horizontal):
    """A line to type in; enter goes back to the lists with what it found, escape shows everything again."""

    DEFAULT_CSS = """
    FilterLine { height: 1; padding: 0 2; background: $surface; display: none; }
    FilterLine.-open { display: block; }
    FilterLine Static { width: 8; color: $primary; }
    FilterLine Input { width: 1fr; background: $surface; }
    """
    BINDINGS = [
        Binding(
            "down", "screen.found", "to the lists", show=False, id="filter.done",
            tooltip="from the filter to what it found; enter, too",
        )
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Static("filter")
        yield Input(
            placeholder="a name, standing, preset or model; escape clears", id="filter", compact=True, disabled=True
        )

    @property
    def word(self) -> str:
        """What both lists are narrowed to; nothing for everything."""
        return self.query_one(Input).value.strip().lower()

    def open(self) -> None:
        """Begin to type."""
        self.add_class("-open")
        self.query_one(Input).disabled = False
        self.query_one(Input).focus()

    def close(self) -> bool:
        """Take the filter away; whether there was one."""
        was = self.has_class("-open")
        self.query_one(Input).value = ""
        self.query_one(Input).disabled = True
        self.remove_class("-open")
        return was
