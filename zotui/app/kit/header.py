"""The line at the top: what this is about."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static


class HeaderLine(Horizontal):
    """The app's name, a title, and quiet details at the right that give way first."""

    DEFAULT_CSS = """
    HeaderLine {
        height: 1;
        padding: 0 1;
        background: $panel;
    }
    HeaderLine #brand { width: auto; color: $primary; text-style: bold; padding-right: 2; }
    HeaderLine #title { width: auto; max-width: 60%; text-wrap: nowrap; text-overflow: ellipsis; }
    HeaderLine #about {
        width: 1fr;
        padding-left: 2;
        color: $quiet;
        text-align: right;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        yield Static("zotui", id="brand")
        yield Static(id="title")
        yield Static(id="about")

    def show(self, title: str, about: str) -> None:
        """Set both texts; free when they are already shown."""
        if (title, about) == self._shown:
            return
        self._shown = (title, about)
        self.query_one("#title", Static).update(Content(title))
        self.query_one("#about", Static).update(Content(about))
