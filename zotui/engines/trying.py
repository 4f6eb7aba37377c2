"""Ask an engine what a state of a run makes of prompts, beside the base model."""

from __future__ import annotations

from typing import ClassVar

from engine.protocol.codec import encode
from engine.protocol.commands import Try
from engine.runs.directory import RunDir
from zotui.engines.asked import AskedEngine, command


class TryEngine(AskedEngine):
    """An engine with the weights of a run that is over (`python -m engine.evaluate --try`)."""

    COMMAND: ClassVar[tuple[str, ...]] = command("engine.evaluate")

    @classmethod
    def on(cls, run: RunDir, step: str) -> TryEngine:
        """With the state after `step`, a number, best or last. Raises `UserError` where the preset cannot be read."""
        return cls([f"--run={run.path}", f"--step={step}", "--try", "-"], run.preset().absolute().to_toml())

    def ask(self, question: Try) -> bool:
        """Answered by `Tried`; false where it has ended."""
        return self.tell(encode(question))
