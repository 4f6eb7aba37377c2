"""run.json: what is known of a run beside its records. Small, and written anew with every change."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST_PAUSES = 1000  # kept


class RunInfo:
    """The file. One process writes it at a time; anybody may read it at any time."""

    def __init__(self, file: Path, exists: Callable[[], bool]) -> None:
        """`exists` says whether the run is there still: what is known of none must not bring its folder back."""
        self.file, self._exists = file, exists
        self.aside = file.with_suffix(".tmp")

    def read(self) -> dict[str, Any]:
        """What it holds; empty when it is missing or torn."""
        try:
            loaded = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def update(self, **changes: Any) -> None:
        """Merge `changes` into it, written aside and renamed. Raises `OSError`, also if the run was deleted."""
        if not self._exists():
            raise FileNotFoundError(errno.ENOENT, "the run was deleted", str(self.file.parent))
        with self.aside.open("w") as file:
            file.write(json.dumps({**self.read(), **changes}, indent=1))
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the new name with nothing in it
        self.aside.replace(self.file)

    def begin_pause(self) -> None:
        """The run is held. Raises `OSError`."""
        self.update(paused=True)

    def end_pause(self, step: int, seconds: float) -> None:
        """The run goes on after `step` steps; what it did meanwhile may have divided the pause. Raises `OSError`."""
        pauses = self.pauses()
        if pauses and pauses[-1]["step"] == step:
            seconds += pauses.pop()["seconds"]
        kept = [*pauses[1 - _MOST_PAUSES :], {"step": step, "seconds": round(seconds, 3)}]
        self.update(paused=False, pauses=kept)

    def pauses(self) -> list[dict[str, Any]]:
        """The newest pauses that are over: `step`, how many steps were done, and `seconds`."""
        found = self.read().get("pauses")
        return [
            one
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict) and type(one.get("step")) is int and isinstance(one.get("seconds"), int | float)
        ]
