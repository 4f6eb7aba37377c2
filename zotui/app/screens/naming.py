"""Asks for a name."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from zotui.app.screens.dialogs import DIALOG_CSS


class AskName(ModalScreen[str]):
    """Answers with what was typed; escape answers with nothing."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="AskName")
        + """
    AskName #dialog { width: 60; border-subtitle-color: $quiet; }
    AskName Input { background: $panel; }
    """
    )
    BINDINGS = [Binding("escape", "none", "back", show=False, id="naming.back", tooltip="back, without a name")]

    def __init__(self, title: str, name: str) -> None:
        super().__init__()
        self._title, self._called = title, name

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "enter saves   escape goes back"
            yield Input(self._called, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is the name."""
        self.dismiss(event.value.strip())

    def action_none(self) -> None:
        """No name."""
        self.dismiss("")
