"""Ask an engine which learning rate and eps suit a preset, and what it has found so far."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from typing import ClassVar

from engine.preset.schema import Preset
from engine.protocol.events import Phase
from engine.protocol.findings import Finding, Guess, Proposal, Trial
from zotui.engines.asked import AskedEngine, command

EXAMPLES = 256
"""Of the validation split, that trials are judged by unless another number is asked for."""

_PATIENCE = 10.0  # seconds for it to end well: what it is in the middle of may be a library's


class TuneEngine(AskedEngine):
    """An engine that tunes a preset (`python -m engine.tune`)."""

    COMMAND: ClassVar[tuple[str, ...]] = command("engine.tune")

    _interrupted = False

    @classmethod
    def on(cls, preset: Preset, steps: int | None = None, examples: int = EXAMPLES) -> TuneEngine:
        """Try rates on a preset, in trials of `steps` at most, judged by so many examples."""
        length = [] if steps is None else [f"--steps={steps}"]
        return cls([*length, f"--examples={examples}", "-"], preset.absolute().to_toml())

    def close(self) -> None:
        """End it as an interruption would, should it still run, so that it leaves nothing on the disk; else at once."""
        if self._process.poll() is None and not self._interrupted:  # once: a second one would interrupt its tidying up
            self._interrupted = True
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        super().close()


class Tuning:
    """What a tuning has found.

    Attributes: trials, each by its number as it was last told of; guess, of the probes; proposal, at the end; running,
    which trial is at which step.
    """

    def __init__(self) -> None:
        self.trials: dict[int, Trial] = {}
        self.guess: Guess | None = None
        self.proposal: Proposal | None = None
        self.running = ""

    def take(self, found: Finding) -> None:
        """Take what was found."""
        if isinstance(found, Trial):
            self.trials[found.number] = found
        elif isinstance(found, Guess):
            self.guess = found
        elif isinstance(found, Proposal):
            self.proposal = found
        self.running = found.detail if isinstance(found, Phase) and found.name == "trial" else ""
