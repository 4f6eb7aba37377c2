"""The settings that may change while a run is at work, each from a certain step on, on record before it counts.

The record, `changes.jsonl` in the run's directory, is written like the journal. A resumed run takes every
change at its step again, also one of which the steps after it were lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.preset.schema import Preset
from engine.protocol.commands import Change
from engine.runs.directory import RunDir
from engine.runs.journal import append


@dataclass(frozen=True)
class Settings:
    """What is in force at a step."""

    lr: float  # before the schedule
    eps: float
    eval_every: int  # 0: only before and after

    @classmethod
    def of(cls, wanted: Preset) -> Settings:
        """Those that a run begins with."""
        return cls(wanted.method.lr, wanted.method.eps, wanted.run.eval_every or 0)

    def changed(self, change: Change) -> Settings:
        """These, but for what `change` names."""
        wanted = {name: getattr(change, name) for name in asdict(self)}
        return replace(self, **{name: value for name, value in wanted.items() if value is not None})

    def within(self, wanted: Preset) -> Preset:
        """`wanted` with these in it."""
        method = wanted.method.model_copy(update={"lr": self.lr, "eps": self.eps})
        run = wanted.run.model_copy(update={"eval_every": self.eval_every or None})
        return wanted.model_copy(update={"method": method, "run": run})


class Steering:
    """What a run's settings are at every step. Raises `UserError` if their record is damaged."""

    def __init__(self, run: RunDir, wanted: Preset) -> None:
        self._run = run
        self._first = Settings.of(wanted)
        self._changes: list[dict[str, Any]] = []
        for record in run.changes():
            self._take(record)

    def at(self, step: int) -> Settings:
        """The settings in force at a step: the newest change up to it."""
        past = [record for record in self._changes if record["step"] <= step]
        return _settings(past[-1]) if past else self._first

    def change(self, step: int, change: Change) -> Settings:
        """Put a change on record, from `step` on; returns what is in force then. Raises `OSError`: it is not then."""
        settings = self.at(step).changed(change)
        record = {"step": step, **asdict(settings)}
        append(self._run.changes_file, record)
        self._take(record)
        return settings

    def _take(self, record: dict[str, Any]) -> None:
        """A change replaces those at its step and after: of steps that were lost, and are taken again otherwise."""
        self._changes = [known for known in self._changes if known["step"] < record["step"]]
        self._changes.append(record)


def _settings(record: dict[str, Any]) -> Settings:
    return Settings(float(record["lr"]), float(record["eps"]), int(record["eval_every"]))
