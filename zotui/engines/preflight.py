"""Ask an engine, without starting a run, what a preset would start on and take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from engine.preset.schema import Preset
from zotui.engines.asked import AskedEngine, command


class PreflightEngine(AskedEngine):
    """An engine for a preflight (`python -m engine.preflight`)."""

    COMMAND: ClassVar[tuple[str, ...]] = command("engine.preflight")

    @classmethod
    def of(cls, preset: Preset, *, calibrate: bool) -> PreflightEngine:
        """Everything about one preset, as a run of it would be started."""
        return cls([*(["--calibrate"] if calibrate else []), "-"], preset.absolute().to_toml())

    @classmethod
    def of_many(cls, files: Sequence[Path]) -> PreflightEngine:
        """What each of these presets' files needs, by its model's configuration alone."""
        return cls(["--outlook", *map(str, files)])
