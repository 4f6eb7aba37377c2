"""Ask an engine, without starting a run: what a preset would start on and take, which learning rate suits it, what a
model or a state of a run makes of a task."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from engine.preset.schema import Preset
from engine.protocol.findings import Finding, decode
from engine.protocol.frames import frames
from engine.runs.directory import RunDir


class PreflightEngine:
    """An engine for a preflight. Nothing is lost when it is ended early; it ends with the process that asked."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine.preflight")
    """What runs it (-P: not a folder called engine here); tests put a scripted one in its place."""

    def __init__(self, arguments: Sequence[str], text: str = "", *, hushed: bool = True) -> None:
        self._process = subprocess.Popen(
            [*self.COMMAND, "--leashed", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if hushed else None,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(text).encode() + b"\n")
        self._process.stdin.flush()

    @classmethod
    def of(cls, preset: Preset, *, calibrate: bool, hushed: bool = True) -> PreflightEngine:
        """Everything about one preset, as a run of it would be started."""
        return cls([*(["--calibrate"] if calibrate else []), "-"], preset.absolute().to_toml(), hushed=hushed)

    @classmethod
    def of_many(cls, files: Sequence[Path]) -> PreflightEngine:
        """What each of these presets' files needs, by its model's configuration alone."""
        return cls(["--outlook", *map(str, files)])

    def findings(self) -> Iterator[Finding]:
        """What it finds, until it ends. Lines that are no finding are skipped."""
        stdout = self._process.stdout
        assert stdout is not None
        for found in frames(stdout.read1, decode):  # type: ignore[attr-defined] # it is buffered
            if found is not None:
                yield found

    def close(self) -> None:
        """End it at once, should it still run; its memory is free again then."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Its exit code (128 + n when signal n ended it), once it has ended."""
        code = self._process.wait()
        return 128 - code if code < 0 else code


class TuneEngine(PreflightEngine):
    """An engine that tunes a preset (`python -m engine.tune`)."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine.tune")

    @classmethod
    def on(cls, preset: Preset, steps: int | None, examples: int) -> TuneEngine:
        """Try rates on a preset, in trials of `steps` at most, judged by so many examples."""
        length = [] if steps is None else [f"--steps={steps}"]
        return cls([*length, f"--examples={examples}", "-"], preset.absolute().to_toml())

    def close(self) -> None:
        """End it as an interruption would, should it still run, so that it leaves nothing on the disk."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait()


class EvaluateEngine(PreflightEngine):
    """An engine that evaluates a model, or a state of a run (`python -m engine.evaluate`)."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine.evaluate")

    @classmethod
    def on(cls, preset: Preset, run: RunDir | None, split: str, step: str) -> EvaluateEngine:
        """The preset has the model and the task; of a `run` it is the state after `step`."""
        state = [f"--run={run.path}", f"--step={step}"] if run else []
        return cls([*state, f"--split={split}", "-"], preset.absolute().to_toml())
