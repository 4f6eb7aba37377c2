"""Where a run's time went, of all its engines together; and a clock that stands while it is paused."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal, get_args

from engine.runs.directory import RunDir


class WorkClock:
    """Seconds of another clock, without those in which it was held."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held = 0.0  # seconds of the pauses that are over
        self._held_since: float | None = None

    def hold(self, paused: bool) -> None:
        """The run is paused, or goes on; what it is already does no more."""
        if paused and self._held_since is None:
            self._held_since = self._clock()
        elif not paused and self._held_since is not None:
            self._held += self._clock() - self._held_since
            self._held_since = None

    def now(self) -> float:
        """Seconds; only the difference of two has a meaning."""
        return (self._clock() if self._held_since is None else self._held_since) - self._held


Kind = Literal["start_up", "steps", "evaluations", "checkpoints", "paused", "other"]
"""`start_up` includes the replay of a resumed run; `other` is the rest, and whatever came to nothing."""


KINDS: tuple[Kind, ...] = get_args(Kind)


def time_spent(run: RunDir, steps: float | None = None) -> dict[str, float]:
    """Seconds by kind and in `total`, from the run's records; what an engine did last before it was killed is lost.

    `steps` are the seconds of the steps, from one who has read the journal already.
    """
    known = run.info.read().time
    spent: dict[str, float] = {kind: known.get(kind, 0.0) for kind in KINDS}
    spent["steps"] = math.fsum(step.seconds for step in run.journal()) if steps is None else steps
    return {**spent, "total": math.fsum(spent.values())}
