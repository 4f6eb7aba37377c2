"""An engine that looks at a file, asked one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from textual.message import Message
from textual.screen import Screen

from engine.protocol.events import Error
from engine.protocol.findings import Draft, Finding
from zotui.engines.proposing import ProposeEngine


class Looking:
    """One file and one model. What is asked while an answer is still to come is asked then, and but the newest of it.

    What it finds is posted to the screen as `Found`, and nothing once it has ended.

    Attributes: data and model, as they were typed.
    """

    class Found(Message):
        """Something was found; None where it has ended."""

        def __init__(self, looking: Looking, finding: Finding | None) -> None:
            super().__init__()
            self.looking, self.finding = looking, finding

    def __init__(self, screen: Screen[Any], data: str, model: str) -> None:
        self.data, self.model = data, model
        self._engine = ProposeEngine.following(data, model)
        self._screen = screen
        self._waits = False
        self._next: list[str] | None = None
        screen.run_worker(self._listen, thread=True, exit_on_error=False)

    def _listen(self) -> None:
        for finding in self._engine.findings():
            self._screen.post_message(self.Found(self, finding))
        self._engine.wait()
        self._screen.post_message(self.Found(self, None))

    @property
    def waits(self) -> bool:
        """Whether an answer is still to come."""
        return self._waits

    def ask(self, decided: Mapping[str, Any]) -> None:
        """Ask for a proposal in which some keys of `[task]` are decided."""
        changes = [f"task.{key}={_toml(value)}" for key, value in decided.items()]
        if self._waits:
            self._next = changes
        else:
            self._ask(changes)

    def _ask(self, changes: list[str]) -> None:
        self._waits = True
        self._engine.ask(changes)

    def answers(self, finding: Finding) -> bool:
        """Whether a finding answers what was asked last; one that answers what was asked before asks the next."""
        if not isinstance(finding, Draft | Error):
            return False
        self._waits = False
        asked, self._next = self._next, None
        if asked is None:
            return True
        self._ask(asked)
        return False

    def close(self) -> None:
        """End it."""
        self._engine.close()


def _toml(value: Any) -> str:
    if not isinstance(value, dict):
        return tomlkit.item(value).as_string()
    table = tomlkit.inline_table()
    table.update(value)
    return table.as_string()
