"""Ask an engine for a preset that suits a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from zotui.engines.asked import AskedEngine, command

MODEL = "Qwen/Qwen3-0.6B"
"""That a preset is for unless another one is asked for: small, recent, and tuned for chat."""


class ProposeEngine(AskedEngine):
    """An engine that looks at a file (`python -m engine.propose`)."""

    COMMAND: ClassVar[tuple[str, ...]] = command("engine.propose")

    @classmethod
    def of(cls, data: str, model: str, changes: Sequence[str] = ()) -> ProposeEngine:
        """For a file and a model, with what is decided already (`key=value`)."""
        return cls([f"--model={model}", *(f"--set={change}" for change in changes), "--", data])

    @classmethod
    def following(cls, data: str, model: str) -> ProposeEngine:
        """One that answers every `ask` by a draft, or by the fault that there is none for."""
        return cls([f"--model={model}", "--follow", "--", data])

    def ask(self, changes: Sequence[str]) -> None:
        """Ask for a proposal with what is decided; nothing happens where it has ended."""
        self.tell(json.dumps(list(changes)).encode() + b"\n")
