"""Asks for a name, and says at once what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from zotui.app.kit.dialogs import DIALOG_CSS


class AskName(ModalScreen[str]):
    """Answers with what was typed, once `fault` finds nothing wrong with it; escape answers with nothing."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="AskName")
        + """
    AskName #dialog { width: 60; border-subtitle-color: $quiet; }
    AskName Input { background: $panel; }
    AskName #said { height: auto; min-height: 1; margin-top: 1; color: $quiet; }
    AskName #said.-wrong { color: $error; }
    """
    )
    BINDINGS = [Binding("escape", "none", "back", show=False, id="naming.back", tooltip="back, without a name")]

    def __init__(self, title: str, name: str, fault: Callable[[str], str], about: Callable[[str], str]) -> None:
        """`fault` says what is wrong with a name, or nothing; `about` what will become of one that is right."""
        super().__init__()
        self._title, self._called, self._fault, self._about = title, name, fault, about

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "enter saves   escape goes back"
            yield Input(self._called, compact=True)
            yield Static(id="said")

    @on(Input.Changed)
    def look(self, event: Input.Changed) -> None:
        """Say how the name stands."""
        name = event.value.strip()
        wrong = self._fault(name)
        said = self.query_one("#said", Static)
        said.set_class(bool(wrong), "-wrong")
        said.update(Content(wrong or self._about(name)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is the name."""
        name = event.value.strip()
        if self._fault(name):
            self.app.bell()
        else:
            self.dismiss(name)

    def action_none(self) -> None:
        """No name."""
        self.dismiss("")
