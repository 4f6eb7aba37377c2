"""Ask an engine what a model, or a state of a run, makes of a task."""

from __future__ import annotations

from typing import ClassVar

from engine.preset.schema import Preset
from engine.runs.directory import RunDir
from zotui.engines.asked import AskedEngine, command


class EvaluateEngine(AskedEngine):
    """An engine that evaluates a model, or a state of a run (`python -m engine.evaluate`)."""

    COMMAND: ClassVar[tuple[str, ...]] = command("engine.evaluate")

    @classmethod
    def on(cls, preset: Preset, run: RunDir | None, split: str, step: str) -> EvaluateEngine:
        """The preset has the model and the task; of a `run` it is the state after `step`."""
        state = [f"--run={run.path}", f"--step={step}"] if run else []
        return cls([*state, f"--split={split}", "-"], preset.absolute().to_toml())
