"""run.json: what is known of a run beside its records. Small, and written anew with every change."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

_MOST_PAUSES = 1000  # kept


State = Literal["new", "running", "finished", "stopped", "failed"]
"""What a run's last engine wrote down; `running` is also what one leaves that was killed."""


class FileMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a model: its size in bytes, and the hash of all of it, or of its header and some blocks."""

    size: int
    sha256: str = ""
    sampled_sha256: str = ""


class SplitMark(msgspec.Struct, frozen=True, kw_only=True):
    """A split as it is trained on or evaluated: how many examples, and a hash of them all."""

    examples: int
    sha256: str


class StartedOn(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was started on; see `engine.preflight.identity`."""

    revision: str | None = None  # of a model from the hub
    model: dict[str, FileMark] | None = None  # by the file's name
    data: dict[str, SplitMark] | None = None  # by split
    rules: int | msgspec.UnsetType = msgspec.UNSET  # by which texts became tokens; see `engine.tasks.tokenize`


class NoiseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The noise of the difference between two losses, in nats; see `engine.training.noise`."""

    nats: float | None = None
    measured: float | None = None
    resolution: float | None = None


class Pause(msgspec.Struct, frozen=True):
    """A pause that is over: how many steps were done, and how long it was."""

    step: int
    seconds: float


class Former(msgspec.Struct, frozen=True, kw_only=True):
    """What took the steps up to one."""

    until_step: int
    versions: dict[str, str] | None = None
    hardware: dict[str, str | int] | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a fork began with, and after how many of its steps."""

    run: str  # its path
    name: str
    step: int


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds; what it does not, is as in a run that has not begun."""

    preset: str = ""
    started: float = 0.0  # seconds since the epoch
    steps: int = 0
    state: State = "new"
    paused: bool = False
    error: str = ""
    early: str = ""  # why it finished before its last step
    runtime: str = ""
    device: str = ""
    dtype: str = ""
    fold: str = ""  # as in `engine.directions.fold`, for a run that folds
    experts: bool = False  # whether those of a mixture move; earlier versions left them still
    versions: dict[str, str] = {}
    pid: int = 0
    hardware: dict[str, str | int] = {}
    started_on: StartedOn | None = None
    noise: NoiseRecord | None = None
    formerly: list[Former] = []
    forked_from: Origin | None = None
    time: dict[str, float] = {}  # seconds by kind, short of the steps; see `engine.training.stopwatch`
    pauses: list[Pause] = []  # the newest


class RunInfo:
    """The file. One process writes it at a time; anybody may read it at any time."""

    def __init__(self, file: Path, exists: Callable[[], bool]) -> None:
        """`exists` says whether the run is there still: what is known of none must not bring its folder back."""
        self.file, self._exists = file, exists
        self.aside = file.with_suffix(".tmp")

    def read(self) -> Info:
        """What it holds, as far as it is what belongs there; nothing when it is missing or torn."""
        held = self._held()
        with suppress(msgspec.ValidationError):
            return msgspec.convert(held, Info)
        known = {}
        for field in structs.fields(Info):
            with suppress(msgspec.ValidationError):
                if field.name in held:
                    known[field.name] = msgspec.convert(held[field.name], field.type)
        return Info(**known)

    def there(self) -> bool:
        """Whether it holds anything: the folder is one of a run then."""
        return bool(self._held())

    def update(self, **changes: object) -> None:
        """Merge fields of `Info` into it, written aside and renamed. What else it holds is kept.

        Raises `OSError`, also if the run was deleted.
        """
        if not self._exists():
            raise FileNotFoundError(errno.ENOENT, "the run was deleted", str(self.file.parent))
        with self.aside.open("w", encoding="utf-8") as file:
            file.write(json.dumps({**self._held(), **msgspec.to_builtins(changes)}, indent=1))
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the new name with nothing in it
        self.aside.replace(self.file)

    def begin_pause(self) -> None:
        """The run is held. Raises `OSError`."""
        self.update(paused=True)

    def end_pause(self, step: int, seconds: float) -> None:
        """The run goes on after `step` steps; what it did meanwhile may have divided the pause. Raises `OSError`."""
        pauses = self.read().pauses
        if pauses and pauses[-1].step == step:
            seconds += pauses.pop().seconds
        self.update(paused=False, pauses=[*pauses[1 - _MOST_PAUSES :], Pause(step, round(seconds, 3))])

    def _held(self) -> dict[str, Any]:
        try:
            loaded = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}
