"""What presets need, of which an engine is asked aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.screen import Screen

from engine.protocol.findings import Outlook
from zotui.engines.preflight import PreflightEngine


class Needs:
    """Asked again about a preset that is new or was changed; tells the screen by `Known`.

    Attributes: outlooks, by the path of a preset's file.
    """

    class Known(Message):
        """More is known."""

    def __init__(self, screen: Screen[Any]) -> None:
        self.outlooks: dict[str, Outlook] = {}
        self._screen = screen
        self._engine: PreflightEngine | None = None
        self._asked_about: dict[str, float] = {}  # when each preset's file was last changed that was asked about

    def ask(self, files: Sequence[Path]) -> None:
        """Ask about those that are due; nothing happens while an answer is still to come."""
        if self._engine is not None:
            return
        changed = {str(file): file.stat().st_mtime for file in files if file.exists()}
        due = [Path(file) for file, when in changed.items() if self._asked_about.get(file) != when]
        self._asked_about = changed
        if due:
            self._engine = PreflightEngine.of_many(due)
            self._screen.run_worker(self._listen, thread=True, exit_on_error=False)

    def close(self) -> None:
        """End what is being asked."""
        if self._engine is not None:
            self._engine.close()

    def _listen(self) -> None:
        engine = self._engine
        assert engine is not None
        found = {one.source: one for one in engine.findings() if isinstance(one, Outlook)}
        engine.close()
        if self._screen.is_running:
            self._screen.app.call_from_thread(self._take, found)

    def _take(self, found: dict[str, Outlook]) -> None:
        self._engine = None
        self.outlooks |= found
        self._screen.post_message(self.Known())
