"""Help: every key as it is mapped, and every word on the screen in plain language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from zotui.app import keys

PLACES = {"app": "everywhere", "chart": "in a chart", "list": "in a list"}
"""How the places are called that are no screen."""


class Help(ModalScreen[None]):
    """The keys of a screen and the words on it, scrollable."""

    DEFAULT_CSS = """
    Help { align: center middle; background: $background 60%; }
    Help VerticalScroll {
        width: 96;
        max-width: 94%;
        height: auto;
        max-height: 90%;
        border: round $primary;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 2 1 2;
        scrollbar-size-vertical: 1;
    }
    Help .heading { color: $primary; text-style: bold; height: 1; }
    Help .gap { margin-top: 1; }
    Help .row { layout: horizontal; height: auto; }
    Help .term { width: 18; height: auto; padding-right: 2; color: $foreground; text-style: bold; }
    Help .meaning { width: 1fr; height: auto; color: $quiet; }
    """
    BINDINGS = [
        Binding(
            "escape,question_mark,q,enter", "close", "Close", show=False, id="help.close", tooltip="close this help"
        )
    ]

    def __init__(self, screen: Screen[Any], meanings: Mapping[str, str]) -> None:
        """`screen` is the one to explain, `meanings` are its words; see `zotui.app.glossary`."""
        super().__init__()
        self._screen, self._meanings = screen, meanings

    def compose(self) -> ComposeResult:
        with VerticalScroll() as pane:
            pane.border_title = "help"
            pane.border_subtitle = "arrows scroll   escape close"
            groups = keys.on_screen(self._screen, self.app, self.app._keymap)
            for place, actions in groups.items():
                yield Static(f"Keys {PLACES[place]}" if place in PLACES else "Keys", classes="heading gap")
                yield from self._rows((action.shown, action.text) for action in actions)
            yield Static("Words", classes="heading gap")
            yield from self._rows(self._meanings.items())
            yield Static(Content("zotui config show lists the keys that config.toml can change"), classes="meaning gap")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def _rows(self, pairs: Iterable[tuple[str, str]]) -> ComposeResult:
        for term, meaning in pairs:
            yield _Row(
                Static(Content(term), classes="term"),
                Static(Content(meaning), classes="meaning"),
                classes="row",
            )


class _Row(Container):
    """A term and its meaning side by side."""
