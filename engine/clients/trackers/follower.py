"""Between the events of a run and one tracker, on a thread of its own: no step waits, and no failure ends the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engine.clients.trackers import Tracker
from engine.preset.schema import Preset
from engine.protocol.events import Eval, Event, Hello, Log, Step
from engine.runs.directory import RunDir


class Follower:
    """Hands a tracker what it understands of the events, until it fails for the first time."""

    def __init__(self, name: str, tracker: Tracker, run: RunDir, wanted: Preset, emit: Callable[[Event], None]) -> None:
        self._name, self._tracker, self._run, self._wanted, self._emit = name, tracker, run, wanted, emit
        self._open = False
        self._failed = False
        self._next_step = 0
        self._warned = False

    def take(self, event: Event) -> None:
        """Take one event; what goes wrong is told once."""
        if isinstance(event, (Hello, Step, Eval)) and not self._failed:
            self._attempt(lambda: self._take(event))

    def end(self) -> None:
        """The run is over."""
        if self._open and not self._failed:
            self._attempt(self._tracker.finish)

    def _take(self, event: Hello | Step | Eval) -> None:
        if isinstance(event, Hello):
            self._next_step = event.first_step
            where = self._tracker.open(self._run, configuration(self._wanted, event), event.first_step)
            self._open = True
            self._emit(Log(level="info", text=f"{self._name}: {where}"))
        elif isinstance(event, Step):
            if event.step > self._next_step and not self._warned:
                self._warned = True
                text = f"{self._name} is slower than the run: it misses some steps, the journal has them all"
                self._emit(Log(level="warning", text=text))
            self._next_step = event.step + 1
            self._tracker.log(event.step, figures(event))
        else:
            self._tracker.log(event.step, {f"{event.split}/{name}": value for name, value in event.metrics.items()})

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._failed = True
            logging.getLogger("engine").exception("%s failed", self._name)
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            self._emit(Log(level="warning", text=f"{self._name} failed ({reason}); the run goes on without it"))


def figures(step: Step) -> dict[str, float]:
    """What is logged of a step, by name."""
    known = {
        "train/loss": step.loss,
        "train/projected_grad": step.projected_grad,
        "train/lr": step.lr,
        "speed/tokens_per_s": step.tokens_per_s,
        "speed/step_seconds": step.seconds,
        "train/update_kept": step.update_kept,
        "train/update_cosine": step.update_cosine,
    }
    return {name: value for name, value in known.items() if value is not None}


def configuration(wanted: Preset, hello: Hello) -> dict[str, Any]:
    """What the run was set to, by dotted key, and what it runs on."""
    sections = wanted.model_dump(exclude={"description"})
    found = {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
    return {
        **found, "preset": hello.preset, "runtime": hello.runtime, "device": hello.device, "dtype": hello.dtype,
        **{f"version.{name}": version for name, version in hello.versions.items()},
    }  # fmt: skip
