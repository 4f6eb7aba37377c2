"""How a run, or the watching of it, ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from engine.protocol.events import Error
from engine.runs.directory import Summary

OutcomeKind = Literal["finished", "stopped", "died", "refused"]


@dataclass(frozen=True)
class Outcome:
    """The end: of which kind, why, and what was measured."""

    kind: OutcomeKind
    text: str
    seconds: float | None = None
    time: dict[str, float] | None = None  # measured seconds of the whole run by kind

    @property
    def resumable(self) -> bool:
        """Whether going on makes sense."""
        return self.kind in ("stopped", "died", "refused")


def outcome_of_records(viewed: Summary) -> Outcome | None:
    """What the records of a run say; None while it is live."""
    if viewed.standing in ("finished", "stopped"):
        return Outcome("finished" if viewed.standing == "finished" else "stopped", viewed.early)
    if viewed.standing != "live":
        return Outcome("died", viewed.error or "the engine ended without saying why")
    return None


def outcome_without_goodbye(code: int | None, error: Error | None, fault: str) -> Outcome:
    """Of an engine that ended without `Done`: `error` is the last it said, `fault` what it was held by."""
    if error is not None and error.text == fault:
        return Outcome("stopped", fault)  # as it was asked to, while it could not go on
    if error is not None:
        return Outcome("died" if error.kind == "failure" else "refused", error.text)
    how = "" if code is None else f" ({explain_exit(code)})"
    return Outcome("died", f"the engine ended without saying why{how}")


def explain_exit(code: int) -> str:
    """An exit code in words."""
    if code <= 128:
        return f"exit code {code}"
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"
    hint = "; often the system running out of memory" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"
