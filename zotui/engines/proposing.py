"""Ask an engine for a preset that suits a file."""

from __future__ import annotations

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
