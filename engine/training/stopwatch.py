"""Where a run's time went: measured seconds by kind, all of its engines together.

The seconds of the steps are in the journal, where a killed engine leaves them too; those of the other
kinds are in run.json, written whenever something that is not a step has ended. Nothing is estimated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from engine.runs.directory import RunDir
from engine.runs.timing import KINDS, Kind


@dataclass
class Lap:
    """One thing that is being timed; `seconds` is there once it has ended."""

    seconds: float = 0.0


class Stopwatch:
    """Gives every second of this engine to one kind, beginning with the start-up."""

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.perf_counter) -> None:
        self._run, self._clock = run, clock
        before = run.info.read().time
        self._spent: dict[Kind, float] = {kind: before.get(kind, 0.0) for kind in KINDS}
        self._kind: Kind = "start_up"
        self._began = self._since = clock()

    def started(self) -> None:
        """The start-up is over."""
        self._become("other")
        self.save()

    @contextmanager
    def during(self, kind: Kind) -> Iterator[Lap]:
        """Time what is done within; if it raises an `Exception`, as `other`."""
        outer, lap = self._kind, Lap()
        self._become(kind)
        began = self._since
        try:
            yield lap
        except Exception:
            self._kind = "other"
            raise
        finally:
            self._become(outer)
            lap.seconds = self._since - began

    def seconds(self) -> float:
        """Wall-clock of this engine."""
        return self._clock() - self._began

    def save(self) -> float:
        """Write what was measured into run.json, short of the steps; returns this engine's wall-clock until then."""
        self._become(self._kind)
        until = self._since
        # On a full disk the next one writes this as well.
        with suppress(OSError):
            self._run.info.update(time={kind: round(self._spent[kind], 6) for kind in KINDS if kind != "steps"})
        return until - self._began

    def _become(self, kind: Kind) -> None:
        now = self._clock()
        self._spent[self._kind] += now - self._since
        self._kind, self._since = kind, now
